// One GET of a file over HTTP, its bytes as they are on the server: a bounded number of redirects, nothing decoded.
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { SpikeloomError } from '../../core/errors.ts';

export interface Answer {
  /** 200, 206 (the part that was asked for) or 416 (there is no such part). */
  status: number;
  /** Where the redirects led to. */
  url: URL;
  headers: IncomingMessage['headers'];
  body: IncomingMessage;
}

export interface Request {
  /** Go on from this byte, if the file is still the one with this validator. */
  resume?: { from: number; validator: string } | undefined;
  signal?: AbortSignal | undefined;
  /** The connection is given up when nothing arrives for this long, in ms. */
  idleMs?: number;
}

/** A server that cannot be reached or a connection that broke: another try may go on. */
export class ConnectionError extends SpikeloomError {
  override name = 'ConnectionError';
}

const MAX_REDIRECTS = 5;
const IDLE_MS = 60_000;

/** @throws SpikeloomError for what is not an address of a file over HTTP */
export function httpAddress(text: string, base?: URL): URL {
  let url: URL;
  try {
    url = new URL(text, base);
  } catch (cause) {
    throw new SpikeloomError(`an address starts with http:// or https://, but this is '${text}'`, { cause });
  }
  if (url.protocol === 'https:' || url.protocol === 'http:') return url;
  throw new SpikeloomError(`files are fetched by http and https only, not from ${url.protocol}//`);
}

function send(url: URL, { resume, signal, idleMs = IDLE_MS }: Request): Promise<IncomingMessage> {
  const range = resume ? { range: `bytes=${resume.from}-`, 'if-range': resume.validator } : {};
  const headers = { 'accept-encoding': 'identity', 'user-agent': 'spikeloom', ...range };
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsGet : httpGet)(url, { headers, signal }, resolve);
    request.setTimeout(idleMs, () => request.destroy(new Error(`nothing came for ${idleMs / 1000} s`)));
    request.on('error', (cause) => {
      reject(signal?.aborted ? cause : new ConnectionError(`${url.host}: ${cause.message}`, { cause }));
    });
  });
}

/**
 * Asks for a file. The body is for the caller to read or to destroy.
 * @throws ConnectionError where a server cannot be reached; SpikeloomError for other answers, too many redirects, or
 * one to plain http
 */
export async function getFile(address: string, request: Request = {}): Promise<Answer> {
  let url = httpAddress(address);
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const body = await send(url, request);
    const { statusCode: status = 0, headers } = body;
    if ([200, 206, 416].includes(status)) return { status, url, headers, body };
    body.destroy();
    if (![301, 302, 303, 307, 308].includes(status) || headers.location === undefined) {
      const Kind = status >= 500 ? ConnectionError : SpikeloomError;
      throw new Kind(`${url}: the server answers ${status} ${body.statusMessage ?? ''}`.trimEnd());
    }
    const next = httpAddress(headers.location, url);
    if (url.protocol === 'https:' && next.protocol === 'http:') {
      throw new SpikeloomError(`${url} leads on to ${next}, which is not encrypted; fetch it by hand if you trust it`);
    }
    url = next;
  }
  throw new SpikeloomError(`${address} leads on more than ${MAX_REDIRECTS} times`);
}

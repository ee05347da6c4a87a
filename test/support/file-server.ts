// A file server on this machine that can be made to misbehave.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Served {
  content: Buffer;
  etag?: string;
  /** Whether it knows Range; default true. */
  ranges?: boolean;
  /**
   * Break the connection after so many bytes of a body, for each request in turn; then serve whole ones. What a busy
   * client has not taken by then is lost to it.
   */
  cuts?: number[];
  /** Answers in place of the file. */
  answer?: (request: IncomingMessage, response: ServerResponse) => void;
}

export interface FileServer {
  readonly url: string;
  /** By path, without the slash in front. */
  readonly files: Record<string, Served>;
  /** The requests that came: path, Range, If-Range. */
  readonly log: { path: string; range?: string; ifRange?: string }[];
  close(): Promise<void>;
}

function serve(file: Served, request: IncomingMessage, response: ServerResponse): void {
  if (file.answer) {
    file.answer(request, response);
    return;
  }
  const { content, etag = '"v1"', ranges = true } = file;
  const { range, 'if-range': ifRange } = request.headers;
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? Number.NaN);
  const partial = ranges && !Number.isNaN(from) && (ifRange === undefined || ifRange === etag);
  if (partial && from >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    return;
  }
  const body = partial ? content.subarray(from) : content;
  const where = partial ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {};
  response.writeHead(partial ? 206 : 200, { 'content-length': body.length, ...(etag ? { etag } : {}), ...where });
  const cut = file.cuts?.shift();
  if (cut === undefined) response.end(body);
  else response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 100));
}

export async function startFileServer(): Promise<FileServer> {
  const [files, log]: [Record<string, Served>, FileServer['log']] = [{}, []];
  const server: Server = createServer((request, response) => {
    const path = request.url!.slice(1);
    const { range, 'if-range': ifRange } = request.headers;
    log.push({ path, ...(range ? { range } : {}), ...(ifRange ? { ifRange: String(ifRange) } : {}) });
    const file = files[path];
    if (file) serve(file, request, response);
    else response.writeHead(404).end('nothing here');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, files, log, close };
}

import { native } from '../../core/native.ts';
import { DataError } from '../files.ts';

/** A picture whose size is known and whose pixels can be asked for. */
export interface OpenPicture {
  width: number;
  height: number;
  /** Writes the window's pixels [3,rows,columns] to `out` from `at` on; windows are those of crop.ts. */
  render(window: Float64Array, out: Uint8Array, at: number): void;
}

const MAX_PIXELS = 1e8;

/**
 * Opens a picture from a file's bytes: JPEG by libjpeg-turbo in the addon where it is found (only what the window needs
 * is decoded), anything else by sharp. The file's orientation and color profile mean nothing here, as nothing to
 * Pillow.
 * @param file for messages
 * @throws DataError where it cannot be decoded, with the byte where that is known; render() may throw one too
 */
export async function openPicture(file: string, bytes: Buffer): Promise<OpenPicture> {
  const isJpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
  const addon = native();
  if (!isJpeg || addon.jpegProblem()) return openBySharp(file, bytes, isJpeg ? addon.jpegProblem() : undefined);
  const [width, height] = explained(file, () => addon.jpegSize(bytes));
  return {
    width,
    height,
    render: (window, out, at) => explained(file, () => addon.renderJpeg(bytes, window, out, at)),
  };
}

function explained<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const { message, offset } = cause as Error & { offset?: number };
    throw new DataError(file, `cannot be decoded (${message})`, { offset, cause });
  }
}

/**
 * Opens a picture of any format that sharp knows.
 * @param jpegProblem where it is a JPEG file: why the addon does not decode it
 */
export async function openBySharp(file: string, bytes: Buffer, jpegProblem: string | undefined): Promise<OpenPicture> {
  const sharp = await loadSharp(file, jpegProblem);
  try {
    const options = { limitInputPixels: MAX_PIXELS, failOn: 'error', sequentialRead: true } as const;
    const picture = sharp(bytes, options).removeAlpha().toColourspace('srgb').raw({ depth: 'uchar' });
    const { data, info } = await picture.toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    const rgb = info.channels === 3 ? data : Buffer.alloc(3 * width * height);
    if (rgb !== data) for (let i = 0; i < rgb.length; i++) rgb[i] = data[Math.floor(i / 3) * info.channels]!;
    return { width, height, render: (window, out, at) => native().renderPixels(rgb, width, height, window, out, at) };
  } catch (cause) {
    throw new DataError(file, `cannot be decoded (${(cause as Error).message})`, { cause });
  }
}

type Sharp = typeof import('sharp')['default'];

let loaded: Promise<Sharp> | undefined;

async function loadSharp(file: string, jpegProblem: string | undefined): Promise<Sharp> {
  loaded ??= import('sharp').then(({ default: sharp }) => {
    sharp.cache(false);
    sharp.concurrency(1); // loader threads are as many as the user wants
    return sharp;
  });
  return loaded.catch((cause) => {
    const why = jpegProblem === undefined ? 'is not a JPEG file' : `is a JPEG file, but ${jpegProblem}`;
    throw new DataError(
      file,
      `${why}; other pictures need the npm package sharp, which cannot be loaded (${cause.message})`,
      { cause },
    );
  });
}

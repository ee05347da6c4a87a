#!/usr/bin/env python3
"""Small pictures and what Pillow makes of them: python test/golden/pictures/make.py (Python 3.11, Pillow 13, numpy 2; a second).

expected.json lists, for every case, the picture, the box, the size it is scaled to, the window of that, the filter,
whether it is mirrored, and where its bytes [3,rows,columns] lie in expected.bin. A case is convert('RGB'), crop(box),
resize(size, filter), crop(window), mirror.
"""
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent


def scene(width: int, height: int, channels: int) -> np.ndarray:
    """Slopes, waves and a hard edge; every channel another one."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    planes = [127 + 60 * np.sin(9 * x * (c + 1) + 4 * y) + 50 * np.cos(7 * y - c) + 40 * (x + y > 0.5 + 0.2 * c) - 20 for c in range(channels)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def write() -> None:
    rgb = Image.fromarray(scene(61, 47, 3))
    rgb.save(HERE / "halved.jpg", quality=80, subsampling="4:2:0")
    rgb.save(HERE / "halved-across.jpg", quality=80, subsampling="4:2:2")
    rgb.save(HERE / "full.jpg", quality=80, subsampling="4:4:4")
    rgb.save(HERE / "progressive.jpg", quality=80, progressive=True)
    rgb.save(HERE / "restarts.jpg", quality=80, restart_marker_blocks=2)
    rgb.convert("L").save(HERE / "grey.jpg", quality=80)
    Image.fromarray(scene(61, 47, 4), "CMYK").save(HERE / "cmyk.jpg", quality=80)
    Image.fromarray(scene(240, 180, 3)).save(HERE / "large.jpg", quality=60)
    rgb.save(HERE / "colour.png")
    Image.fromarray(scene(61, 47, 4), "RGBA").save(HERE / "alpha.png")
    rgb.convert("L").save(HERE / "grey.png")
    rgb.quantize(16).save(HERE / "palette.png")


WINDOWS = [
    # box (left, top, width, height), scaled to, window (left, top, columns, rows), filter, mirrored
    ((0, 0, 61, 47), (33, 26), (0, 0, 33, 26), "bilinear", False),
    ((0, 0, 61, 47), (33, 26), (0, 0, 33, 26), "bicubic", True),
    ((7, 5, 31, 29), (24, 20), (0, 0, 24, 20), "bilinear", True),
    ((20, 3, 40, 44), (33, 33), (4, 6, 24, 20), "bicubic", False),
    ((30, 21, 9, 7), (24, 20), (0, 0, 24, 20), "bilinear", False),
    ((30, 21, 9, 7), (24, 20), (0, 0, 24, 20), "bicubic", False),
    ((60, 46, 1, 1), (5, 5), (0, 0, 5, 5), "bilinear", False),
]
# Ours is decoded at a quarter of its size first.
LARGE = ((0, 0, 240, 180), (24, 20), (0, 0, 24, 20), "bilinear", False)


def render(picture: Image.Image, box, size, window, name: str, flip: bool) -> bytes:
    left, top, width, height = box
    image = picture.convert("RGB").crop((left, top, left + width, top + height)).resize(size, getattr(Image.Resampling, name.upper()))
    left, top, columns, rows = window
    image = image.crop((left, top, left + columns, top + rows))
    return np.asarray(ImageOps.mirror(image) if flip else image).transpose(2, 0, 1).tobytes()


def main() -> None:
    write()
    cases, data = [], b""
    for file in sorted([*HERE.glob("*.jpg"), *HERE.glob("*.png")]):
        with Image.open(file) as picture:
            windows = WINDOWS if file.stem in ("halved", "colour") else WINDOWS[1:3]
            for window in [LARGE] if file.stem == "large" else windows:
                cases.append({"file": file.name, **dict(zip(("box", "size", "window", "filter", "flip"), window)), "at": len(data)})
                data += render(picture, *window)
    (HERE / "expected.json").write_text("[\n" + ",\n".join("  " + json.dumps(case) for case in cases) + "\n]\n")
    (HERE / "expected.bin").write_bytes(data)


if __name__ == "__main__":
    main()

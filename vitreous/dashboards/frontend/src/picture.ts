// The top images of a latent as one PNG.

import { levels, type Latent, type Picture, type Source } from "./data";
import { download } from "./overview";
import type { State } from "./state";
import { address, paint } from "./tile";

const SIDE = 160, GAP = 8, COLUMNS = 6, CAPTION = 18;

function fetched(source: Source, index: number): Promise<Picture | null> {
  return new Promise((resolve) => {
    const now = source.picture(index, () => resolve(source.picture(index, () => undefined)));
    if (now) resolve(now);
  });
}

function loaded(src: string): Promise<HTMLImageElement> {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(`${src.slice(0, 80)} cannot be read`));
    image.src = src;
  });
}

/** Saves a PNG. A page opened from disk may not read pixels of image files back, so there it needs the copies in
 * data/pixels_*.js; without them it saves the heatmaps alone and says so. */
export async function savePicture(source: Source, latent: Latent, state: State): Promise<void> {
  const examples = latent.groups[0]!, [rows, cols] = source.manifest.grid;
  const height = Math.round((SIDE * rows) / cols), lines = Math.ceil(examples.length / COLUMNS);
  const canvas = document.createElement("canvas"), g = canvas.getContext("2d")!;
  canvas.width = COLUMNS * (SIDE + GAP) + GAP;
  canvas.height = lines * (height + CAPTION + GAP) + GAP + 24;
  g.fillStyle = "#fff";
  g.fillRect(0, 0, canvas.width, canvas.height);
  g.font = "12px system-ui, sans-serif";
  let pictures = true;
  for (const [i, example] of examples.entries()) {
    const x = GAP + (i % COLUMNS) * (SIDE + GAP), y = GAP + Math.floor(i / COLUMNS) * (height + CAPTION + GAP);
    const src = (await source.pixels(example.picture)) ?? (location.protocol === "file:" ? undefined : address(await fetched(source, example.picture)));
    if (src) g.drawImage(await loaded(src), x, y, SIDE, height);
    else { pictures = false; g.fillStyle = "#d9dcdf"; g.fillRect(x, y, SIDE, height); }
    const heat = document.createElement("canvas");
    paint(heat, levels(example.heat, source.cells), rows, cols, 1, state);
    g.globalAlpha = state.mode === "plain" ? 0 : state.opacity / 100;
    g.imageSmoothingEnabled = state.smooth;
    g.drawImage(heat, x, y, SIDE, height);
    g.imageSmoothingEnabled = true;
    g.globalAlpha = 1;
    g.fillStyle = "#1b1f23";
    g.fillText(example.peak.toPrecision(3), x, y + height + 13);
  }
  g.fillStyle = "#5c656e";
  const note = pictures ? "" : "  (heatmaps only: this dashboard holds no copies of its pictures for export)";
  g.fillText(`latent ${latent.id} of ${source.manifest.header["hook point"] ?? ""}, ${source.manifest.header.model ?? ""}${note}`, GAP, canvas.height - 10);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob) download(`latent_${latent.id}.png`, "image/png", blob);
}

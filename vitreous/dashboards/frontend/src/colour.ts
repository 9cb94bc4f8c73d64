// Perceptually uniform, colour-blind safe maps, interpolated from a few anchors of the published tables.

const ANCHORS: Record<string, string> = {
  viridis: "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725",
  cividis: "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838",
  inferno: "000004 160b39 420a68 6a176e 932667 bc3754 dd513a f37819 fca50a f6d746 fcffa4",
  magma: "000004 140e36 3b0f70 641a80 8c2981 b73779 de4968 f7705c fe9f6d fecf92 fcfdbf",
};
export const MAPS = Object.keys(ANCHORS);

const tables = new Map<string, Uint8Array>();

/** 256 RGB triples. */
export function table(name: string): Uint8Array {
  const held = tables.get(name);
  if (held) return held;
  const anchors = (ANCHORS[name] ?? ANCHORS.viridis!).split(" ").map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const out = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (anchors.length - 1);
    const low = Math.min(Math.floor(place), anchors.length - 2);
    for (let c = 0; c < 3; c++) {
      out[3 * i + c] = Math.round(anchors[low]![c]! + (place - low) * (anchors[low + 1]![c]! - anchors[low]![c]!));
    }
  }
  tables.set(name, out);
  return out;
}

export function css(name: string, level: number): string {
  const colours = table(name), i = 3 * Math.max(0, Math.min(255, Math.round(level)));
  return `rgb(${colours[i]} ${colours[i + 1]} ${colours[i + 2]})`;
}

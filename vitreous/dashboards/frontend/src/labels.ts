// Names that the reader gives to latents. The browser keeps them under this dashboard's own key; labels.jsonl is the
// form in which they travel.

import type { Source } from "./data";

export interface Label { latent: number; label: string; author?: string; time?: string; source?: string; note?: string; score?: number }

export class Labels {
  private own = new Map<number, Label>();
  private readonly key: string;
  /** What is shown: the labels of the record, with the reader's own over them. */
  shown: Map<number, string>;

  constructor(private readonly source: Source, private readonly changed: () => void) {
    this.key = `vitreous:${source.manifest.run}:labels`;
    try {
      for (const row of JSON.parse(localStorage.getItem(this.key) ?? "[]") as Label[]) this.own.set(row.latent, row);
    } catch { /* storage can be off or damaged: start empty */ }
    this.shown = this.merged();
  }

  private merged(): Map<number, string> {
    const out = new Map(this.source.labels);
    for (const row of this.own.values()) if (row.label) out.set(row.latent, row.label); else out.delete(row.latent);
    return out;
  }

  private keep(): void {
    this.shown = this.merged();
    try { localStorage.setItem(this.key, JSON.stringify([...this.own.values()])); } catch { /* shown until the page closes */ }
    this.changed();
  }

  /** Name a latent; an empty name takes the label away. */
  set(latent: number, label: string): void {
    if (label === (this.shown.get(latent) ?? "")) return;
    this.own.set(latent, { latent, label, time: new Date().toISOString(), source: "page" });
    this.keep();
  }

  /** All labels, one JSON object per line. */
  text(): string {
    return [...this.shown].sort((a, b) => a[0] - b[0])
      .map(([latent, label]) => JSON.stringify(this.own.get(latent) ?? { latent, label }) + "\n").join("");
  }

  /** Take over labels; where one differs from what is shown, the file wins and is counted. */
  read(text: string): { taken: number; replaced: number; bad: number } {
    let taken = 0, replaced = 0, bad = 0;
    for (const line of text.split("\n")) {
      if (!line.trim()) continue;
      try {
        const row = JSON.parse(line) as Label;
        if (!Number.isInteger(row.latent) || row.latent < 0 || row.latent >= this.source.manifest.n_latents || typeof row.label !== "string") throw new Error();
        const known = this.shown.get(row.latent);
        if (known !== undefined && known !== row.label) replaced++;
        this.own.set(row.latent, row);
        taken++;
      } catch { bad++; }
    }
    this.keep();
    return { taken, replaced, bad };
  }
}

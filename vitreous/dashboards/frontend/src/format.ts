// Numbers as people read them.

import type { ColumnInfo } from "./data";

export const count = (n: number): string => n.toLocaleString("en-US");

export function number(x: number): string {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size === 0) return "0";
  if (size >= 1000) return count(Math.round(x));
  if (size < 0.001) return x.toExponential(1);
  return size >= 100 ? x.toFixed(0) : size >= 10 ? x.toFixed(1) : size >= 1 ? x.toFixed(2) : x.toFixed(3);
}

export function share(x: number): string {
  if (!Number.isFinite(x)) return "–";
  const percent = 100 * x;
  if (percent === 0) return "0 %";
  if (percent < 0.01) return `${percent.toExponential(0)} %`;
  return `${percent < 1 ? percent.toFixed(2) : percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

export const ratio = (x: number): string => (Number.isFinite(x) ? `${x >= 100 ? x.toFixed(0) : x.toFixed(1)}×` : "–");

export function value(info: ColumnInfo, x: number): string {
  switch (info.format) {
    case "share": return share(x);
    case "ratio": return ratio(x);
    case "integer": return count(x);
    case "category": return info.names?.[x] ?? "–";
    case "flag": return x ? "yes" : "no";
    default: return number(x);
  }
}

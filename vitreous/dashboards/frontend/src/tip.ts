// One floating box for all hover texts. Text only ever goes in through textContent.

const box = document.createElement("div");
box.className = "tip";
box.setAttribute("role", "tooltip");
box.hidden = true;
document.body.append(box);

export type Lines = [string, string][];

/** Show a title and lines of (name, value) next to a point of the screen. */
export function showTip(x: number, y: number, title: string, lines: Lines): void {
  box.replaceChildren();
  const head = document.createElement("strong");
  head.textContent = title;
  box.append(head);
  for (const [name, text] of lines) {
    if (!text) continue;
    const row = document.createElement("div"), key = document.createElement("span"), val = document.createElement("span");
    key.textContent = name;
    val.textContent = text;
    row.append(key, val);
    box.append(row);
  }
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - width - 8))}px`;
  box.style.top = `${y + 18 + height > innerHeight ? Math.max(8, y - height - 12) : y + 18}px`;
}

export function hideTip(): void { box.hidden = true; }
window.addEventListener("scroll", hideTip, true);

/**
 * The least that draws a screen: cells held twice, and their difference as one string. It clips, and
 * knows neither wide characters nor marks nor themes nor windows.
 */
export class HandGrid {
  readonly #cells: Int32Array;
  readonly #styles: Uint8Array;
  readonly #shownCells: Int32Array;
  readonly #shownStyles: Uint8Array;

  /** `sgr`: how to switch to each style, by number. */
  constructor(readonly cols: number, readonly rows: number, readonly sgr: readonly string[]) {
    this.#cells = new Int32Array(cols * rows).fill(32);
    this.#styles = new Uint8Array(cols * rows);
    this.#shownCells = new Int32Array(cols * rows).fill(-1);
    this.#shownStyles = new Uint8Array(cols * rows);
  }

  clear(): void {
    this.#cells.fill(32);
    this.#styles.fill(0);
  }

  put(x: number, y: number, text: string, style: number): void {
    const row = y * this.cols, n = Math.min(text.length, this.cols - x);
    for (let i = 0; i < n; i++) {
      const code = text.charCodeAt(i);
      this.#cells[row + x + i] = code < 32 ? 32 : code;
      this.#styles[row + x + i] = style;
    }
  }

  /** Cells that differ from what the terminal shows. */
  get changed(): number {
    let n = 0;
    for (let i = 0; i < this.#cells.length; i++) {
      if (this.#cells[i] !== this.#shownCells[i] || this.#styles[i] !== this.#shownStyles[i]) n++;
    }
    return n;
  }

  /** What to write to the terminal; "" when nothing changed. */
  flush(): string {
    let out = "", style = -1, at = -1;
    for (let i = 0; i < this.#cells.length; i++) {
      const code = this.#cells[i]!, wanted = this.#styles[i]!;
      if (code === this.#shownCells[i] && wanted === this.#shownStyles[i]) continue;
      this.#shownCells[i] = code;
      this.#shownStyles[i] = wanted;
      const gap = i - at;
      if (at < 0 || gap > 4 || i % this.cols < gap) {
        out += `\x1b[${Math.floor(i / this.cols) + 1};${i % this.cols + 1}H`;
      } else {
        for (let k = at; k < i; k++) {
          if (this.#styles[k] !== style) out += this.sgr[style = this.#styles[k]!];
          out += String.fromCharCode(this.#cells[k]!);
        }
      }
      if (wanted !== style) out += this.sgr[style = wanted];
      out += String.fromCharCode(code);
      at = i + 1;
    }
    return out === "" ? "" : `\x1b[?2026h${out}\x1b[m\x1b[?2026l`;
  }
}

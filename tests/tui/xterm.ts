/** An emulated terminal to read the screen back from. */

import xterm from "@xterm/headless";

export class Screen {
  readonly #terminal: xterm.Terminal;

  constructor(cols: number, rows: number) {
    this.#terminal = new xterm.Terminal({ cols, rows, scrollback: 0, allowProposedApi: true });
  }

  write(text: string): Promise<void> {
    return new Promise((resolve) => this.#terminal.write(text, resolve));
  }

  resize(cols: number, rows: number): void {
    this.#terminal.resize(cols, rows);
  }

  reset(): void {
    this.#terminal.reset();
  }

  /** Text and attributes of every cell, one string per row. */
  dump(): string[] {
    const buffer = this.#terminal.buffer.active;
    const cell = buffer.getNullCell();
    const rows: string[] = [];
    for (let y = 0; y < this.#terminal.rows; y++) {
      const line = buffer.getLine(y);
      let row = "";
      for (let x = 0; x < this.#terminal.cols; x++) {
        line?.getCell(x, cell);
        const flags = [
          cell.isBold(),
          cell.isDim(),
          cell.isItalic(),
          cell.isUnderline(),
          cell.isInverse(),
        ].map((flag) => flag ? 1 : 0).join("");
        const chars = cell.getChars() || (cell.getWidth() === 0 ? "" : " ");
        row += `${chars}/${cell.getWidth()}/${cell.getFgColorMode()}:${cell.getFgColor()}` +
          `/${cell.getBgColorMode()}:${cell.getBgColor()}/${flags}|`;
      }
      rows.push(row);
    }
    return rows;
  }

  text(): string[] {
    const buffer = this.#terminal.buffer.active;
    return Array.from(
      { length: this.#terminal.rows },
      (_, y) => buffer.getLine(y)?.translateToString(true) ?? "",
    );
  }

  get cursor(): { x: number; y: number } {
    return { x: this.#terminal.buffer.active.cursorX, y: this.#terminal.buffer.active.cursorY };
  }
}

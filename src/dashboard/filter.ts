/** One way to say which rows are wanted, for every list. */

/** Tells whether a row is wanted. */
export type Filter = (row: string) => boolean;

const ALL: Filter = () => true;
let last: { text: string; filter: Filter } = { text: "", filter: ALL };

/**
 * `text`: rows that have it, capitals or not unless it has some itself; `!text`: rows that do not;
 * `/expression/`: rows that match it; `~abc`: rows with these letters in this order. "" is all rows.
 */
export function filterOf(text: string): Filter {
  if (text !== last.text) last = { text, filter: make(text) };
  return last.filter;
}

function make(text: string): Filter {
  if (text === "") return ALL;
  if (text.startsWith("!")) {
    const without = make(text.slice(1));
    return text === "!" ? ALL : (row) => !without(row);
  }
  if (text.startsWith("/")) return expression(text.slice(1).replace(/\/$/, ""));
  if (text.startsWith("~")) return letters(text.slice(1).toLowerCase());
  if (text !== text.toLowerCase()) return (row) => row.includes(text);
  return (row) => row.toLowerCase().includes(text);
}

/** An expression that is not finished yet leaves nothing out. */
function expression(source: string): Filter {
  try {
    const wanted = new RegExp(source, source === source.toLowerCase() ? "i" : "");
    return (row) => wanted.test(row);
  } catch {
    return ALL;
  }
}

function letters(wanted: string): Filter {
  return (row) => {
    let at = 0;
    const low = row.toLowerCase();
    for (const letter of wanted) {
      at = low.indexOf(letter, at) + 1;
      if (at === 0) return false;
    }
    return true;
  };
}

// Small pieces of text and elements.
export function element(kind, text = "", style = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  if (style) made.className = style;
  return made;
}

export function key(letter) {
  return element("kbd", letter);
}

export function agreementLines(found) {
  const shown = (kappa) => (kappa === null ? "not defined yet" : kappa.toFixed(2));
  const lines = Object.entries(found.reviewers).map(([name, count]) => `${name}: ${count} of ${found.total}`);
  lines.push(`${found.several} clips with two or more reviewers; Fleiss' kappa ${shown(found.fleiss)}`);
  for (const pair of found.pairs) {
    lines.push(`${pair.one} and ${pair.other}: ${pair.same} of ${pair.clips} the same, Cohen's kappa ${shown(pair.kappa)}`);
  }
  if (found.blind.verdicts) {
    const { same, verdicts, kappa } = found.blind;
    lines.push(`Blind verdicts that give the record's label: ${same} of ${verdicts}, kappa ${shown(kappa)}`);
  }
  return lines;
}

/** @file Plain tables and small curves for terminals. */

/** Columns as wide as their widest cell; those listed in `right` are aligned to the right. */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly string[] = [],
): string {
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]!.length)),
  );
  return [heads, ...rows]
    .map((row) =>
      row
        .map((cell, column) =>
          right.includes(heads[column]!) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

const bars = "▁▂▃▄▅▆▇█";

/** At most `width` bars, each the mean of its share of the values; the smallest is the lowest bar. */
export function sparkline(values: readonly number[], width = 60): string {
  const size = Math.min(width, values.length);
  const means = Array.from({ length: size }, (_, i) => {
    const part = values.slice(
      Math.floor((i * values.length) / size),
      Math.floor(((i + 1) * values.length) / size),
    );
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const least = Math.min(...means);
  const range = Math.max(...means) - least;
  return means
    .map((value) => bars[range === 0 ? 0 : Math.min(7, Math.floor(((value - least) / range) * 8))])
    .join("");
}

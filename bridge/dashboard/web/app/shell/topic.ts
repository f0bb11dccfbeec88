// MQTT topic filters (MQTT 5, section 4.7), as grants and tiles use them.

export function filterMatches(filter: string, topic: string): boolean {
  const f = filter.split("/"), t = topic.split("/");
  if (topic.startsWith("$") && (f[0] === "+" || f[0] === "#")) return false;
  for (let i = 0; i < f.length; i++) {
    if (f[i] === "#") return true;
    if (i >= t.length || (f[i] !== "+" && f[i] !== t[i])) return false;
  }
  return f.length === t.length;
}

// allowed: whether one of the grants covers the topic.
export function allowed(grants: readonly string[] | undefined, topic: string): boolean {
  return grants?.some((g) => filterMatches(g, topic)) ?? false;
}

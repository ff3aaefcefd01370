// Stands in for undici in bundles whose code never comes to use it. See inspect-alias.ts.
function unused() {
  throw new Error("undici is not in this bundle");
}

export { unused as Agent, unused as ProxyAgent, unused as fetch };

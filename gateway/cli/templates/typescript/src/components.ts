// The components of @NAME@.
import { type ComponentContext, InputError } from "flowspan/components";

const COUNT = {
  name: "count",
  steps: [{ id: "count", component: "/@NAME@/count", input: { $input: "$" } }],
  output: { $step: "count" },
};

/** The number of words of a text. */
export function count(text: string): number {
  const words = text.match(/\S+/g)?.length ?? 0;
  if (words === 0) throw new InputError("a text without words");
  return words;
}

/** The words of many texts: `count` over all of them, as a sub-run. */
export async function total(texts: string[], ctx: ComponentContext): Promise<number> {
  const flowId = await ctx.putBlob(COUNT, "flow");
  const run = await ctx.submitRun(flowId, texts, { wait: true });
  run.throwForFailures();
  return (run.results ?? []).reduce((sum, item) => sum + Number(item.value), 0);
}

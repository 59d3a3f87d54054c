// The log of a component server: lines on stderr.

export interface Log {
  debug(message: string, ...more: unknown[]): void;
  info(message: string, ...more: unknown[]): void;
  warn(message: string, ...more: unknown[]): void;
  error(message: string, ...more: unknown[]): void;
}

/** `LEVEL logger message run=... step=... item=...`. */
export function logOf(name: string, about: Readonly<Record<string, unknown>> = {}): Log {
  const write = (level: string) => {
    return (message: string, ...more: unknown[]) => {
      const shown = more.map((one) => ` ${one instanceof Error ? (one.stack ?? one.message) : String(one)}`).join("");
      let line = `${level} ${name} ${message}${shown}`;
      for (const [key, value] of Object.entries(about)) if (value !== undefined) line += ` ${key}=${String(value)}`;
      process.stderr.write(`${line}\n`);
    };
  };
  return {
    debug: process.env["FLOWSPAN_LOG"] === "debug" ? write("DEBUG") : () => {},
    info: write("INFO"),
    warn: write("WARNING"),
    error: write("ERROR"),
  };
}

export const log = logOf("flowspan.components");

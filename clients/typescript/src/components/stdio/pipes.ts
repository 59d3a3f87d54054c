// Stdin and stdout of a spawned component server: large reads, writes that never block, and nobody else on stdout.

import { closeSync, constants, createReadStream, fstatSync, openSync } from "node:fs";
import { Socket, type SocketConstructorOpts } from "node:net";
import { devNull } from "node:os";
import type { Writable } from "node:stream";
import type { Registry } from "../registry.js";
import { StdioConnection } from "./connection.js";

const READ_BYTES = 256 * 1024;
/** Beyond it, reading rests: a gateway that takes no answers gets no more work done. */
const MAX_UNWRITTEN_BYTES = 64 * 1024 * 1024;
/** How long executions may go on after the end of stdin where somebody still reads the answers; also for writing the last ones. */
const LAST_ANSWERS_MS = 1_000;
/** After the gateway has gone, how long other work of the process may take. */
const EXIT_GRACE_MS = 2_000;
const PARENT_POLL_MS = 500;
const NEWLINE = 0x0a;

/** Serve until the gateway closes its end, asks to shut down, or dies. */
export async function servePipes(registry: Registry, capacity: number): Promise<void> {
  const output = takeOverStdout();
  await new Promise<void>((resolve) => {
    let ended = false;
    let last: ReturnType<typeof setTimeout> | undefined;
    const end = () => {
      if (ended) return;
      ended = true;
      clearTimeout(last);
      clearInterval(parentWatch);
      connection.close();
      input.stop();
      // For a moment only: nobody may be there to read it.
      const done = () => {
        clearTimeout(giveUp);
        output.destroy();
        resolve();
      };
      const giveUp = setTimeout(done, LAST_ANSWERS_MS);
      output.end(done);
    };
    const connection = new StdioConnection({
      registry,
      capacity,
      write: (text) => {
        output.write(text);
        if (output.writableLength > MAX_UNWRITTEN_BYTES && !input.isPaused) {
          input.pause();
          output.once("drain", () => input.resume());
        }
      },
      onShutdown: end,
    });
    output.on("error", end);
    const input = readInput(
      (text) => connection.receive(text),
      () => {
        // A gateway that died has closed both pipes. One that stops, or a shell's pipeline, still reads what is finished soon.
        last = setTimeout(end, LAST_ANSWERS_MS);
        connection.endWhenIdle();
      },
    );
    // A second belt beside the end of stdin, which another process may hold open.
    const parent = process.ppid;
    const parentWatch = setInterval(() => {
      if (process.ppid !== parent) end();
    }, PARENT_POLL_MS);
    parentWatch.unref();
  });
  // Ends the process even if something of a component keeps it alive: nobody is there any more who could end it.
  setTimeout(() => process.exit(0), EXIT_GRACE_MS).unref();
}

interface Input {
  readonly isPaused: boolean;
  pause(): void;
  resume(): void;
  stop(): void;
}

/** Hand out whole lines, as many as each read brought. */
function readInput(onText: (text: string) => void, onEnd: () => void): Input {
  const lines = new LineCutter(onText);
  let over = false;
  const finish = () => {
    if (over) return;
    over = true;
    lines.end();
    onEnd();
  };
  const stream = isPollable(0)
    ? new Socket(readOptions((data) => lines.take(data, true)))
    : createReadStream("", { fd: 0, highWaterMark: READ_BYTES, autoClose: false }).on("data", (data) =>
        lines.take(data as Buffer, false),
      );
  stream.on("end", finish).on("close", finish).on("error", finish);
  stream.resume();
  return {
    get isPaused() {
      return stream.isPaused();
    },
    pause: () => {
      stream.pause();
    },
    resume: () => {
      stream.resume();
    },
    stop: () => {
      over = true;
      stream.destroy();
    },
  };
}

/** One buffer for all reads: what is left of it is copied by the cutter. The option is documented, but missing in the types. */
function readOptions(onData: (data: Buffer) => void): SocketConstructorOpts {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const callback = (length: number) => {
    onData(buffer.subarray(0, length));
    return true;
  };
  const options = { fd: 0, readable: true, writable: false, onread: { buffer, callback } };
  return options;
}

/** Bytes to texts of whole lines; the rest waits for its end. */
export class LineCutter {
  #rest: Buffer[] = [];

  constructor(private readonly onText: (text: string) => void) {}

  /** `isShared`: the bytes are only good until this returns. */
  take(data: Buffer, isShared: boolean): void {
    const end = data.lastIndexOf(NEWLINE);
    if (end < 0) {
      this.#rest.push(isShared ? Buffer.from(data) : data);
      return;
    }
    let text: string;
    if (this.#rest.length === 0) text = data.toString("utf8", 0, end + 1);
    else {
      this.#rest.push(data.subarray(0, end + 1));
      text = Buffer.concat(this.#rest).toString("utf8");
      this.#rest = [];
    }
    if (end + 1 < data.length) {
      const left = data.subarray(end + 1);
      this.#rest.push(isShared ? Buffer.from(left) : left);
    }
    this.onText(text);
  }

  /** A last line without its end. */
  end(): void {
    const text = Buffer.concat(this.#rest).toString("utf8");
    this.#rest = [];
    if (text.trim() !== "") this.onText(text);
  }
}

/**
 * Take stdout for the wire. Whatever prints there from here on, in this process or a child, goes to stderr.
 *
 * The descriptor is moved where the system has a name for it: the pipe is opened anew, and number 1 becomes a second stderr (nothing,
 * where stderr is a socket). Elsewhere only what goes through `process.stdout` is turned aside.
 */
function takeOverStdout(): Writable {
  const wire = moveStdout();
  const { stdout } = process;
  const write = stdout.write;
  stdout.write = process.stderr.write.bind(process.stderr) as typeof stdout.write;
  if (wire !== undefined) return new Socket({ fd: wire, readable: false, writable: true });
  // The stream itself stays the wire; only its users get another `write`.
  return new Proxy(stdout, {
    get: (target, name) => {
      const member: unknown = name === "write" ? write : Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

/** The pipe under another number; undefined where that cannot be. */
function moveStdout(): number | undefined {
  if (!isPollable(1)) return undefined;
  const names = process.platform === "linux" ? "/proc/self/fd" : "/dev/fd";
  try {
    const wire = openSync(`${names}/1`, constants.O_WRONLY | constants.O_NONBLOCK);
    const log = isOpenable(`${names}/2`) ? `${names}/2` : devNull;
    closeSync(1);
    // The lowest free number is given to what is opened next: 1, as 0 is stdin.
    openSync(log, constants.O_WRONLY | constants.O_APPEND);
    return wire;
  } catch {
    // A socket cannot be opened by name, and some systems have no names.
  }
  return undefined;
}

function isOpenable(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_APPEND));
    return true;
  } catch {
    return false;
  }
}

function isPollable(fd: number): boolean {
  const facts = fstatSync(fd);
  return facts.isFIFO() || facts.isSocket();
}

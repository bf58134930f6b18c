/** @file What happens when nobody reads the output any more, as in `troupe show run | head`. */

/**
 * A command that only prints ends at once, in silence. One that is in the middle of work is stopped as by Ctrl-C: it
 * saves, and the same command goes on.
 */
export function endWithOutput(output: NodeJS.WriteStream): void {
  let closed = false;
  output.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
    if (closed) return;
    closed = true;
    if (process.listenerCount("SIGTERM") > 0) process.kill(process.pid, "SIGTERM");
    else process.exit(0);
  });
}

export async function serveQueue(_r: unknown, _c: number, _q: string): Promise<void> {}

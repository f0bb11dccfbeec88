// Who may look, and at what, as the bridge says it: GET /api/v1/me.

/** What the bridge knows of whoever asks. */
export interface Me {
  readonly subject: string;
  readonly tenant: string;
  readonly expires: string;
  readonly grants: Readonly<Record<"live" | "snapshot" | "history" | "publish", readonly string[]>>;
  readonly node: string;
  readonly version: string;
}

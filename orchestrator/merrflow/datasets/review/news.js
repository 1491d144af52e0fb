// What others said: the server says so over one stream, which is open while the page is seen. Without it the page asks.
const SILENT = 40_000; // milliseconds after which a stream that says nothing is taken for broken: it speaks every 15 s
const ASK = 5000;

export class News {
  // tell(): somebody may have said something.
  constructor(tell) {
    Object.assign(this, { tell, stream: null, version: -1, heard: 0 });
    document.addEventListener("visibilitychange", () => this.look());
    addEventListener("pagehide", () => this.close()); // a page in the back-forward cache keeps no stream
    addEventListener("pageshow", () => this.look());
    setInterval(() => this.look(), ASK);
    this.look();
  }

  get live() {
    return this.stream?.readyState === EventSource.OPEN && Date.now() - this.heard < SILENT;
  }

  look() {
    if (document.hidden) return this.close(); // a browser has six connections for all pages of a server
    if (this.live) return;
    if (this.stream?.readyState !== EventSource.CONNECTING) this.open(); // else the browser is trying
    this.tell();
  }

  open() {
    this.close();
    this.heard = Date.now();
    this.stream = new EventSource("/api/news");
    this.stream.onmessage = ({ data }) => {
      this.heard = Date.now();
      if (Number(data) !== this.version) this.tell();
      this.version = Number(data);
    };
  }

  close() {
    this.stream?.close();
    this.stream = null;
  }
}

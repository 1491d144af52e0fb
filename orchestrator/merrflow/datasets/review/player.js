// The clip, and under it what was measured over time: curves, spectrogram and pitch, with one cursor.
import { ask } from "./server.js";

const COLOURS = ["--c1", "--c2", "--c3", "--c4"];
const MAX_INTENSITY = 5;
const PITCH_TOP = 500; // hertz; pitch is drawn over the spectrogram in its own scale

export class Player {
  constructor(find) {
    Object.assign(this, { find, video: find("video"), clip: null, sound: null, peak: null });
    this.video.addEventListener("error", () => this.fail());
    this.video.addEventListener("loadedmetadata", () => this.seek(this.clip.peak.time));
    this.video.addEventListener("seeked", () => this.draw());
    this.video.addEventListener("play", () => this.follow());
    for (const id of ["curves", "sound"]) {
      find(id).addEventListener("click", (event) => this.seek((event.offsetX / event.target.clientWidth) * this.length));
    }
    new ResizeObserver(() => this.draw()).observe(find("clip"));
  }

  get length() {
    return Math.max(this.clip?.seconds || 0, this.video.duration || 0, 0.04);
  }

  show(clip, peak) {
    Object.assign(this, { clip, peak, sound: null, stopped: false });
    this.find("no-video").hidden = true;
    this.find("boxes").hidden = false;
    this.video.poster = `/clips/${clip.id}/picture`;
    this.video.src = `/clips/${clip.id}/video`;
    this.legend();
    this.find("sound-note").textContent = clip.sound ? "…" : "(no sound track)";
    this.draw();
    if (clip.sound) this.listen(clip);
  }

  async listen(clip) {
    let note = "with pitch, 0 to 500 Hz";
    let found = null;
    try {
      found = await ask(`/clips/${clip.id}/sound`);
      const image = new Image();
      image.src = found.png;
      await image.decode();
      found.image = image;
    } catch (error) {
      note = `(${error.message})`;
    }
    if (this.clip !== clip) return;
    this.sound = found?.image ? found : null;
    this.find("sound-note").textContent = note;
    this.draw();
  }

  fail() {
    if (!this.video.getAttribute("src")) return;
    this.find("no-video").textContent = "The browser cannot play this clip: its file is gone, or of a kind that it does not know.";
    this.find("no-video").hidden = false;
    this.find("boxes").hidden = true;
  }

  toggle() {
    if (!this.video.paused) return this.video.pause();
    if (this.video.ended) this.video.currentTime = 0;
    this.video.play().catch(() => {});
  }

  seek(time) {
    if (Number.isFinite(time)) this.video.currentTime = Math.max(0, Math.min(time, this.length));
  }

  step(frames) {
    this.video.pause();
    this.seek(this.video.currentTime + frames / this.clip.fps);
  }

  get frame() {
    const { times, frames } = this.clip.curves;
    const now = this.video.currentTime;
    let best = -1;
    times.forEach((time, place) => {
      if (best < 0 || Math.abs(time - now) < Math.abs(times[best] - now)) best = place;
    });
    const near = best >= 0 && Math.abs(times[best] - now) <= 1 / this.clip.fps;
    return near ? frames[best] : Math.max(0, Math.min(this.clip.frames - 1, Math.round(now * this.clip.fps)));
  }

  timeOf(frame) {
    const place = this.clip.curves.frames.indexOf(frame);
    return place >= 0 ? this.clip.curves.times[place] : frame / this.clip.fps;
  }

  follow() {
    this.draw();
    if (!this.video.paused) requestAnimationFrame(() => this.follow());
  }

  legend() {
    this.find("legend").replaceChildren(
      ...this.clip.curves.units.map((unit, place) => {
        const one = document.createElement("span");
        one.className = `unit c${place + 1}`;
        one.textContent = `${unit.code} ${unit.name.toLowerCase()}`;
        return one;
      }),
    );
  }

  draw() {
    if (!this.clip) return;
    const now = this.video.currentTime || 0;
    this.find("time").textContent = `${now.toFixed(2)} of ${this.length.toFixed(2)} s · frame ${this.frame}`;
    this.box(now);
    this.curves(now);
    this.spectrum(now);
  }

  box(now) {
    const canvas = this.find("boxes");
    const paint = sized(canvas);
    const { width, height, faces, fps } = this.clip;
    const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
    let face = null;
    for (const one of faces) if (!face || Math.abs(one[0] - now) < Math.abs(face[0] - now)) face = one;
    if (!face || Math.abs(face[0] - now) > 1.5 / fps) return;
    paint.strokeStyle = "#ffd23f";
    paint.lineWidth = 2;
    paint.strokeRect(
      (canvas.clientWidth - width * scale) / 2 + face[1] * scale,
      (canvas.clientHeight - height * scale) / 2 + face[2] * scale,
      face[3] * scale,
      face[4] * scale,
    );
  }

  curves(now) {
    const canvas = this.find("curves");
    const paint = sized(canvas);
    const x = (time) => (time / this.length) * canvas.clientWidth;
    const y = (value) => canvas.clientHeight - 8 - (Math.min(value, MAX_INTENSITY) / MAX_INTENSITY) * (canvas.clientHeight - 14);
    paint.fillStyle = colour("--speech");
    for (const [start, end] of this.clip.speech) paint.fillRect(x(start), canvas.clientHeight - 5, x(end) - x(start), 5);
    line(paint, x(this.timeOf(this.peak)), canvas.clientHeight, colour("--text"), 1.5);
    paint.setLineDash([2, 3]);
    for (const cut of this.clip.cuts) line(paint, x(cut), canvas.clientHeight, colour("--quiet"), 1);
    paint.setLineDash([]);
    const { times, units } = this.clip.curves;
    const gap = 2.5 / this.clip.fps; // a longer pause breaks a curve, as in the report
    units.forEach((unit, number) => {
      paint.strokeStyle = colour(COLOURS[number]);
      paint.lineWidth = 2;
      paint.beginPath();
      unit.values.forEach((value, place) => {
        const starts = place === 0 || times[place] - times[place - 1] > Math.max(gap, 0.15);
        paint[starts ? "moveTo" : "lineTo"](x(times[place]), y(value));
      });
      paint.stroke();
    });
    line(paint, x(now), canvas.clientHeight, colour("--accent"), 2);
  }

  spectrum(now) {
    const canvas = this.find("sound");
    const paint = sized(canvas);
    const x = (time) => (time / this.length) * canvas.clientWidth;
    if (this.sound) {
      paint.drawImage(this.sound.image, 0, 0, x(this.sound.seconds), canvas.clientHeight);
      paint.fillStyle = "#ffb454";
      for (const [time, hertz] of this.sound.pitch) {
        paint.fillRect(x(time) - 1, canvas.clientHeight * (1 - hertz / PITCH_TOP) - 1, 2.5, 2.5);
      }
    }
    line(paint, x(now), canvas.clientHeight, colour("--accent"), 2);
  }
}

function line(paint, x, height, style, width) {
  paint.strokeStyle = style;
  paint.lineWidth = width;
  paint.beginPath();
  paint.moveTo(x, 0);
  paint.lineTo(x, height);
  paint.stroke();
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

function sized(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const paint = canvas.getContext("2d");
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  paint.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return paint;
}

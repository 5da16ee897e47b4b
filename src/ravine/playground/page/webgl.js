// What the graphics card is told for a surface in three dimensions: a shaded ground with level lines, cased and dashed paths
// that hills hide, and round points. Plain WebGL 2; nothing of it runs before somebody asks for it.

// A place (across, upward, height) as seen: turned about the height, then tilted. In shaders and here.
const SEEN = `
  uniform vec4 angles; // cosine and sine of the turn, then of the tilt
  uniform vec3 fit; // half the ground's width and depth, and half the height
  uniform vec2 scale;
  vec4 seen(vec3 place) {
    vec3 p = place - fit;
    float across = p.x * angles.x + p.y * angles.y;
    float away = p.y * angles.x - p.x * angles.y;
    vec2 flat_ = vec2(across, away * angles.w + p.z * angles.z) * scale;
    return vec4(flat_, 0.3 * (away * angles.z - p.z * angles.w), 1.0);
  }`;
const GLSL = "#version 300 es\nprecision highp float;\n";

const MOST_ATTRIBUTES = 3; // of a program

const GROUND = {
  vertex: `${GLSL}${SEEN}
    in vec3 place;
    in vec3 normal;
    out float level;
    out float light;
    void main() {
      gl_Position = seen(place);
      level = place.z / (2.0 * fit.z);
      light = 0.72 + 0.28 * dot(normalize(normal), normalize(vec3(-0.5, 0.4, 1.0)));
    }`,
  fragment: `${GLSL}
    uniform vec3 low, high, line;
    in float level;
    in float light;
    out vec4 color;
    void main() {
      float bands = level * 16.0;
      float distance = abs(fract(bands - 0.5) - 0.5) / max(fwidth(bands), 1e-6);
      vec3 ground = mix(low, high, clamp(level, 0.0, 1.0)) * light;
      color = vec4(mix(ground, line, 0.35 * (1.0 - smoothstep(0.4, 1.2, distance))), 1.0);
    }`,
};

// Each piece of a path is two triangles, widened on the screen.
const PATH = {
  vertex: `${GLSL}${SEEN}
    uniform vec2 pixels; // of the picture
    uniform float width, lift;
    in vec3 from, to;
    in vec3 corner; // which end, which side, how far along the path
    out float along;
    out float inside; // of the edge, in pixels
    out vec2 ground;
    void main() {
      vec4 a = seen(from), b = seen(to);
      vec2 d = (b.xy - a.xy) * pixels;
      d = length(d) > 0.0 ? normalize(d) : vec2(1.0, 0.0);
      vec4 p = corner.x > 0.5 ? b : a;
      vec2 out_ = vec2(-d.y, d.x) * corner.y + d * (2.0 * corner.x - 1.0) * 0.5;
      inside = corner.y * 0.5 * (width + 1.0);
      gl_Position = vec4(p.xy + out_ * (width + 1.0) / pixels, p.z - lift, 1.0);
      along = corner.z;
      ground = (corner.x > 0.5 ? to : from).xy;
    }`,
  fragment: `${GLSL}
    uniform vec3 paint;
    uniform vec4 dash; // drawn and left out, twice; zero for a full line
    uniform vec2 size;
    uniform float width;
    in float along;
    in float inside;
    in vec2 ground;
    out vec4 color;
    void main() {
      if (any(lessThan(ground, vec2(0.0))) || any(greaterThan(ground, size))) discard;
      float total = dash.x + dash.y + dash.z + dash.w;
      if (total > 0.0) {
        float at = mod(along, total);
        if ((at > dash.x && at < dash.x + dash.y) || at > dash.x + dash.y + dash.z) discard;
      }
      float cover = clamp(0.5 * width + 0.5 - abs(inside), 0.0, 1.0); // smooth edges
      color = vec4(paint * cover, cover);
    }`,
};

const POINT = {
  vertex: `${GLSL}${SEEN}
    uniform float width;
    in vec3 place;
    void main() {
      gl_Position = seen(place);
      gl_Position.z -= 0.02;
      gl_PointSize = width;
    }`,
  fragment: `${GLSL}
    uniform vec3 paint, rim;
    uniform float width;
    out vec4 color;
    void main() {
      float r = length(gl_PointCoord - 0.5) * width;
      if (r > 0.5 * width) discard;
      color = vec4(r > 0.5 * width - 2.0 ? rim : paint, 1.0);
    }`,
};

// The programs on a canvas, or null where there is no WebGL 2.
export function openWebgl(canvas) {
  const gl = canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
  return gl && { gl, ground: program(gl, GROUND), path: program(gl, PATH), point: program(gl, POINT) };
}

function program(gl, { vertex, fragment }) {
  const result = gl.createProgram();
  for (const [kind, text] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(result, shader);
  }
  gl.linkProgram(result);
  if (!gl.getProgramParameter(result, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(result));
  return result;
}

// Use a program with uniforms, each a number or a list of them.
export function useProgram(gl, used, uniforms) {
  gl.useProgram(used);
  for (const [name, value] of Object.entries(uniforms)) {
    const at = gl.getUniformLocation(used, name);
    if (at) gl[`uniform${[value].flat().length}fv`](at, [value].flat());
  }
}

// An array of floats on the card; `attributes` are the names and sizes of what stands in a row of it.
export function buffer(gl, floats, attributes) {
  const kept = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, kept);
  gl.bufferData(gl.ARRAY_BUFFER, floats, gl.STATIC_DRAW);
  return { kept, attributes, stride: 4 * attributes.reduce((sum, [, size]) => sum + size, 0) };
}

export function bind(gl, used, { kept, attributes, stride }) {
  for (let at = 0; at < MOST_ATTRIBUTES; at++) gl.disableVertexAttribArray(at); // those of another program
  gl.bindBuffer(gl.ARRAY_BUFFER, kept);
  let offset = 0;
  for (const [name, size] of attributes) {
    const at = gl.getAttribLocation(used, name);
    if (at >= 0) {
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, gl.FLOAT, false, stride, offset);
    }
    offset += 4 * size;
  }
}

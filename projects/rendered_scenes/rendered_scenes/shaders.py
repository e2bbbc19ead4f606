"""GLSL of the renderer. World axes: x right, y down, z away, camera at the origin; `rest`: the template body (y up).

Light is computed in linear colours: a sun with a shadow map, sky and ground from above and below, a little gloss.
"""

__all__ = ["PERSON_FRAGMENT", "PERSON_VERTEX", "SHADOW_FRAGMENT", "GROUND_FRAGMENT", "THING_FRAGMENT", "THING_VERTEX"]

_HEAD = "#version 330\n"

_CAMERA = """
uniform mat3 cameraRotation;  // world to camera
uniform vec4 intrinsics;      // fx, fy, cx, cy in px
uniform vec2 imageSize;       // px
uniform mat4 sunMatrix;       // world to the shadow map's clip space
uniform int forShadow;

vec4 clip(vec3 world) {
    if (forShadow == 1) return sunMatrix * vec4(world, 1.0);
    vec3 c = cameraRotation * world;
    vec2 pixel = intrinsics.xy * c.xy + intrinsics.zw * c.z;      // times z
    vec2 ndc = 2.0 * pixel / imageSize - c.z;                     // row 0 of the picture is row 0 of the buffer
    float near = 0.05, far = 200.0;
    return vec4(ndc, (far + near) / (far - near) * c.z - 2.0 * far * near / (far - near), c.z);
}
"""

_NOISE = """
float hash(vec3 p) {
    p = fract(p * 0.3183099 + vec3(0.71, 0.113, 0.419));
    p *= 17.0;
    return fract(p.x * p.y * p.z * (p.x + p.y + p.z));
}
float noise(vec3 x) {
    vec3 i = floor(x), f = fract(x);
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1, 0, 0)), f.x),
                   mix(hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)), f.x), f.y),
               mix(mix(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), f.x),
                   mix(hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)), f.x), f.y), f.z);
}
"""

_LIGHT = """
uniform vec3 sunTowards, sunColour, skyColour, groundColour;  // linear
uniform sampler2D shadowMap;
uniform float shadowTexel;

float lit(vec3 world, vec3 normal) {
    vec4 p = sunMatrix * vec4(world + 0.02 * normal, 1.0);
    vec3 q = p.xyz * 0.5 + 0.5;
    if (any(lessThan(q.xy, vec2(0.0))) || any(greaterThan(q.xy, vec2(1.0)))) return 1.0;
    float sum = 0.0;
    for (int i = 0; i < 4; i++) {
        vec2 tap = vec2(i == 0 || i == 3 ? -1.0 : 1.0, i < 2 ? -1.0 : 1.0);
        sum += step(q.z - 0.0015, textureLod(shadowMap, q.xy + 0.9 * shadowTexel * tap, 0.0).r);
    }
    return sum / 4.0;
}
vec3 shaded(vec3 albedo, vec3 world, vec3 normal, float gloss, float open) {
    vec3 view = normalize(-world);
    if (dot(normal, view) < 0.0) normal = normalize(normal - 1.02 * dot(normal, view) * view);
    float up = 0.5 - 0.5 * normal.y;
    float lamp = max(dot(normal, sunTowards), 0.0);
    float shadow = lamp > 0.0 ? lit(world, normal) : 0.0;
    vec3 light = open * mix(groundColour, skyColour, up) + sunColour * lamp * shadow;
    float shine = gloss * pow(max(dot(normal, normalize(view + sunTowards)), 0.0), 24.0) * shadow;
    vec3 colour = albedo * light + shine * sunColour;
    colour = colour / (1.0 + 0.25 * colour);                     // highlights are not cut off
    return pow(clamp(colour * 1.2, 0.0, 1.0), vec3(1.0 / 2.2));
}
"""

# What covers the body where: by template height, and by the share of the arm (0 shoulder, 0.5 elbow, 1 wrist).
_CLOTHES = """
uniform vec4 shirt;      // sleeve end (share of the arm), hem height, neckline height, looseness in m
uniform vec4 trousers;   // leg end height, waist height, looseness in m, neckline depth of the shirt in m
uniform vec4 footwear;   // shoe top height, sock top height, thickness in m, glove (share of the arm where it begins)
uniform vec4 hairdo;     // height at the nape, at the forehead, thickness in m, 1 if there is any

const int SKIN = 0, SHIRT = 1, TROUSERS = 2, SHOE = 3, SOCK = 4, HAIR = 5, EYE = 6, LIPS = 7, BROW = 8, GLOVE = 9;

uniform int garment;     // 0: the body with what is painted on it; a sewn 1: suit, 2: pair of shoes, 3: hair

int coverOf(vec3 r, vec2 arm) {
    if (garment == 1) return (arm.y > 0.5 || r.y > trousers.y) ? SHIRT : TROUSERS;
    if (garment == 2) return SHOE;
    if (garment == 3) return HAIR;
    if (r.y > 0.60 && arm.y < 0.5) {
        float line = mix(hairdo.x, hairdo.y, smoothstep(-0.015, 0.095, r.z));
        bool ear = abs(r.x) > 0.066 && r.y < 0.755 && r.z > -0.02;
        if (hairdo.w > 0.5 && r.y > line && !ear) return HAIR;
        vec2 eye = vec2(abs(r.x) - 0.031, r.y - 0.731);
        if (r.z > 0.09) {
            if (length(eye) < 0.009) return EYE;
            if (abs(eye.x) < 0.019 && abs(eye.y - 0.022) < 0.0045) return BROW;
            if (abs(r.x) < 0.024 && abs(r.y - 0.660) < 0.008) return LIPS;
        }
        return SKIN;
    }
    if (arm.y > 0.5) return arm.x < shirt.x ? SHIRT : (arm.x > footwear.w ? GLOVE : SKIN);
    if (r.y < footwear.x) return SHOE;
    if (r.y < footwear.y) return SOCK;
    if (r.y > trousers.x && r.y < trousers.y && !(r.y > shirt.y && shirt.w > trousers.z)) return TROUSERS;
    float neckline = shirt.z - trousers.w * smoothstep(0.0, 0.1, r.z) * (1.0 - smoothstep(0.02, 0.11, abs(r.x)));
    if (r.y > shirt.y && r.y < neckline && arm.x < shirt.x) return SHIRT;
    if (r.y > trousers.x && r.y < trousers.y) return TROUSERS;
    return SKIN;
}
float thicknessOf(int cover, vec3 r, vec2 arm) {
    if (garment > 0) return 0.0;
    float flow = 0.6 + 0.8 * noise(r * vec3(9.0, 5.0, 9.0));
    if (cover == SHIRT) return 0.003 + flow * shirt.w * (arm.y > 0.5 ? 0.8 : 1.0);
    if (cover == TROUSERS) return 0.003 + flow * trousers.z;
    if (cover == SHOE) return footwear.z;
    if (cover == SOCK || cover == GLOVE) return 0.004;
    if (cover == HAIR) return hairdo.z * (0.5 + noise(r * 30.0));
    return 0.0;
}
"""

PERSON_VERTEX = (
    _HEAD
    + _CAMERA
    + _NOISE
    + _CLOTHES
    + """
in vec3 position; in vec3 normal;   // posed, world
in vec3 rest; in vec2 arm;          // template; share of the arm and whether it is one
out vec3 vWorld, vNormal, vRest; out vec2 vArm;
void main() {
    vRest = rest; vArm = arm; vNormal = normal;
    vWorld = position + normal * thicknessOf(coverOf(rest, arm), rest, arm);
    gl_Position = clip(vWorld);
}
"""
)

PERSON_FRAGMENT = (
    _HEAD
    + _CAMERA.split("vec4 clip")[0]
    + _NOISE
    + _CLOTHES
    + _LIGHT
    + """
uniform float owner;
uniform vec3 colours[10];      // by cover, sRGB
uniform vec3 second[10];       // the pattern's other colour
uniform ivec2 patterns;        // of the shirt, of the trousers
uniform vec2 patternScale;     // 1 / m
uniform vec3 seed;
in vec3 vWorld, vNormal, vRest; in vec2 vArm;
layout(location = 0) out vec4 colour;
layout(location = 1) out vec2 depthOwner;

float patternOf(int kind, float scale, vec3 r, vec2 arm) {
    vec3 p = r;
    float along = arm.y > 0.5 ? arm.x * 0.55 : r.y;
    if (kind == 1) return step(0.5, fract(along * scale));
    if (kind == 2) return step(0.5, fract((r.x + 0.7 * r.z) * scale));
    if (kind == 3) return 0.5 * step(0.5, fract(along * scale)) + 0.5 * step(0.5, fract((r.x + r.z) * scale));
    if (kind == 4) return smoothstep(0.45, 0.55, noise(p * scale * 0.8 + seed));
    if (kind == 5) return (r.z > 0.0 && abs(r.x) < 0.09 && abs(r.y - 0.40) < 0.055)
        ? step(0.5, noise(vec3(r.xy * 45.0, 1.0) + seed)) : 0.0;
    if (kind == 6) return step(0.36, r.y) * (arm.y > 0.5 ? 1.0 : 1.0);
    if (kind == 7) return arm.y > 0.5 ? 1.0 : step(0.11 + 0.06 * step(r.y, 0.1), abs(r.x));
    if (kind == 8) return step(0.72, noise(p * scale * 1.5 + seed));
    return 0.0;
}
void main() {
    int cover = coverOf(vRest, vArm);
    vec3 base = colours[cover];
    if (cover == SHIRT) base = mix(base, second[cover], patternOf(patterns.x, patternScale.x, vRest, vArm));
    if (cover == TROUSERS) base = mix(base, second[cover], patternOf(patterns.y, patternScale.y, vRest, vArm));
    vec3 n = normalize(vNormal);
    if (garment == 3 && noise(vRest * vec3(260.0, 14.0, 140.0) + seed) < 0.30) discard;  // strands
    float gloss = 0.06, open = 1.0;
    if (cover == SHIRT || cover == TROUSERS) {
        float folds = cover == SHIRT ? shirt.w : trousers.z;
        vec3 q = vRest * vec3(24.0, 13.0, 24.0) + seed;
        vec3 wrinkle = vec3(noise(q), noise(q + 7.7), noise(q + 15.1)) - 0.5;
        n = normalize(n + (garment == 1 ? 0.35 : 0.18 + 22.0 * folds) * wrinkle);
        base *= 0.93 + 0.14 * noise(vRest * 160.0);
        gloss = 0.02;
    } else if (cover == HAIR) {
        vec3 q = vRest * vec3(170.0, 25.0, 90.0) + seed;
        base *= 0.6 + 0.8 * noise(q);
        gloss = 0.10;
    } else if (cover == SKIN) {
        base *= 0.95 + 0.10 * noise(vRest * 30.0 + seed);
        float flush = smoothstep(0.04, 0.0, length(vec2(abs(vRest.x) - 0.045, vRest.y - 0.69))) * step(0.08, vRest.z);
        base = mix(base, base * vec3(1.06, 0.88, 0.86), flush);
    } else if (cover == SHOE) {
        if (vRest.y < -0.825) base = second[cover];
        gloss = 0.15;
    }
    open *= 1.0 - 0.35 * smoothstep(0.10, 0.0, abs(vRest.x) + 4.0 * abs(vRest.y + 0.05)) * (1.0 - vArm.y);
    float depth = (cameraRotation * vWorld).z;
    colour = vec4(shaded(pow(base, vec3(2.2)), vWorld, n, gloss, open), 1.0);
    depthOwner = vec2(depth, owner);
}
"""
)

SHADOW_FRAGMENT = _HEAD + "void main() {}\n"

THING_VERTEX = (
    _HEAD
    + _CAMERA
    + """
in vec3 position; in vec3 normal; in vec3 rest;
out vec3 vWorld, vNormal, vRest;
void main() { vRest = rest; vNormal = normal; vWorld = position; gl_Position = clip(position); }
"""
)

THING_FRAGMENT = (
    _HEAD
    + _CAMERA.split("vec4 clip")[0]
    + _NOISE
    + _LIGHT
    + """
uniform float owner;
uniform vec3 first, other, seed;
uniform int pattern;
uniform float patternScale;
in vec3 vWorld, vNormal, vRest;
layout(location = 0) out vec4 colour;
layout(location = 1) out vec2 depthOwner;
void main() {
    vec3 p = vRest * patternScale + seed;
    float share = 0.0;
    if (pattern == 1) share = step(0.5, fract(p.y));
    if (pattern == 2) share = noise(p * vec3(1.0, 9.0, 1.0));
    if (pattern == 3) share = smoothstep(0.4, 0.6, noise(p * 2.0));
    if (pattern == 4) share = step(0.5, fract(0.5 * (floor(p.x) + floor(p.y) + floor(p.z))));
    vec3 base = mix(first, other, share) * (0.9 + 0.2 * noise(vRest * 60.0));
    colour = vec4(shaded(pow(base, vec3(2.2)), vWorld, normalize(vNormal), 0.08, 1.0), 1.0);
    depthOwner = vec2((cameraRotation * vWorld).z, owner);
}
"""
)

# The ground itself is in the background picture; only its shadows are drawn: black, with the darkness as alpha.
GROUND_FRAGMENT = (
    _HEAD
    + _CAMERA.split("vec4 clip")[0]
    + _LIGHT
    + """
uniform float shadowStrength;
uniform vec3 contacts[48];     // points of bodies near the ground: x, z, height above it
uniform int numContacts;
in vec3 vWorld, vNormal, vRest;
layout(location = 0) out vec4 colour;
layout(location = 1) out vec2 depthOwner;
void main() {
    float dark = shadowStrength * (1.0 - lit(vWorld, vec3(0.0, -1.0, 0.0)));
    float near = 0.0;
    for (int i = 0; i < numContacts; i++) {
        vec2 d = vWorld.xz - contacts[i].xy;
        float h = contacts[i].z, s = 0.02 + 0.5 * h * h, q = s / (s + dot(d, d));
        near += q * q * 0.5 / (1.0 + 12.0 * h);
    }
    dark = 1.0 - (1.0 - dark) * (1.0 - 0.6 * (1.0 - exp(-near)));
    colour = vec4(0.0, 0.0, 0.0, dark);
    depthOwner = vec2((cameraRotation * vWorld).z, 0.0);
}
"""
)

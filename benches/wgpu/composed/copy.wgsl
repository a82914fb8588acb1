// Reads two matrices and writes one of the same size, each workgroup its share, and computes nothing.

@group(0) @binding(1) var<storage, read> student: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> teacher: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> gradient: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let vectors = arrayLength(&gradient);
    let share = (vectors + workgroups.x - 1u) / workgroups.x;
    let end = min((workgroup.x + 1u) * share, vectors);
    for (var vector = workgroup.x * share + lane; vector < end; vector += WORKGROUP_SIZE) {
        gradient[vector] = student[vector] ^ teacher[vector];
    }
}

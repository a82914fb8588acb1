// The transcendental functions of the kernels: the twin of src/math.rs, and the logarithms that Rust has in f64.

const LOG2_E: f32 = 1.4426950408889634;

// 2^x, to 2e-7 relative wherever it is a normal number, and exactly 1 at 0. The built-in exp2 may be off by 3 + 2|x| units in
// the last place, which is good enough where large arguments mean small results, and only there.
//
// x is split into an integer, which becomes the exponent, and a rest in [-½, ½], where the polynomial of degree 6 (minimax for
// the relative error, constant term held at 1) is off by 2e-9.
fn precise_exp2(x: vec4<f32>) -> vec4<f32> {
    // At -127 the exponent bits below are 0, and so is the result.
    let integer = round(max(x, vec4(-127.0)));
    let rest = max(x, vec4(-127.0)) - integer;
    var mantissa = fma(rest, vec4(0.00015353362), vec4(0.0013398875));
    mantissa = fma(mantissa, rest, vec4(0.009618437));
    mantissa = fma(mantissa, rest, vec4(0.055503324));
    mantissa = fma(mantissa, rest, vec4(0.24022648));
    mantissa = fma(mantissa, rest, vec4(0.6931472));
    mantissa = fma(mantissa, rest, vec4(1.0));
    return mantissa * bitcast<vec4<f32>>((vec4<i32>(integer) + 127) << vec4(23u));
}

// φ(y) = e^y - 1 - y for |y| < ½, to 1e-7 relative: y² · R(y), with R of degree 5 (minimax, off by 2.4e-8).
// Outside that range the value means nothing, and the caller takes the other branch.
fn phi(y: vec4<f32>) -> vec4<f32> {
    let low = fma(fma(y, vec4(0.041665796), vec4(0.16666666)), y, vec4(0.5));
    let high = fma(fma(y, vec4(0.00019875629), vec4(0.0013981997)), y, vec4(0.008333452));
    let square = y * y;
    return square * fma(high, square * y, low);
}

// log(1 + u) for u > -1, with a small relative error also near 0, and exactly 0 at 0. The built-in logarithm is only
// promised to be off by 2⁻²¹ between ½ and 2; there the series of 2 · artanh(u / (2 + u)) takes its place.
fn log1p(u: f32) -> f32 {
    if u <= -0.5 || u >= 1.0 {
        return log(1.0 + u);
    }
    let z = u / (2.0 + u);
    let square = z * z;
    var series = 1.0 / 15.0;
    series = fma(series, square, 1.0 / 13.0);
    series = fma(series, square, 1.0 / 11.0);
    series = fma(series, square, 1.0 / 9.0);
    series = fma(series, square, 1.0 / 7.0);
    series = fma(series, square, 1.0 / 5.0);
    series = fma(series, square, 1.0 / 3.0);
    return 2.0 * fma(series * square, z, z);
}

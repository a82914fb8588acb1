//! What AVX2 and AVX-512 have in common: all but the length of a vector and the names of the intrinsics. Each macro takes those, and
//! makes one piece of an instruction set of them. What differs more is written by hand in the file of either set.

/// Calls an intrinsic.
macro_rules! intrinsic {
    ($($call:tt)*) => {
        // SAFETY: the processor has the instructions: a `Simd` value proves it, and no vector is made without one. What is read or
        // written through a pointer is a borrowed array, as long as the access.
        unsafe { $($call)* }
    };
}

/// The types of an instruction set, their arithmetic, and what moves 16-bit elements.
macro_rules! vector_types {
    (
        $(#[$about_set:meta])*
        $set:ident: [$($feature:tt),+];
        $(#[$about_vector:meta])*
        $vector:ident: [$register:ty; $lanes:literal], add $add:ident, sub $sub:ident, mul $mul:ident;
        halves: $halves:ty, store $store_halves:ident, stream $stream_halves:ident
    ) => {
        $(#[$about_set])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $set(());

        $(#[$about_vector])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $vector($register);

        impl $set {
            /// The proof, if the processor has the instructions.
            pub(crate) fn detect() -> Option<Self> {
                ($(is_x86_feature_detected!($feature))&&+).then_some(Self(()))
            }
        }

        /// Does a task, compiled with the instructions.
        #[inline(never)]
        $(#[target_feature(enable = $feature)])+
        fn run<T: Task>(task: T, simd: $set) -> T::Output {
            task.run(simd)
        }

        impl Add for $vector {
            type Output = Self;
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                Self(intrinsic!($add(self.0, other.0)))
            }
        }

        impl Sub for $vector {
            type Output = Self;
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                Self(intrinsic!($sub(self.0, other.0)))
            }
        }

        impl Mul for $vector {
            type Output = Self;
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                Self(intrinsic!($mul(self.0, other.0)))
            }
        }

        /// The 16-bit elements of vector number `index` of a strip.
        #[inline(always)]
        fn halves<T>(strip: &[T; STRIP], index: usize) -> *const $halves {
            const { assert!(size_of::<T>() == 2) };
            let lanes: &[T; $lanes] = &strip.as_chunks().0[index];
            lanes.as_ptr().cast()
        }

        /// Stores the 16-bit elements of vector number `index` of a strip.
        #[inline(always)]
        fn store_halves<T>(strip: &mut [T; STRIP], index: usize, halves: $halves, how: Store) {
            const { assert!(size_of::<T>() == 2) };
            let lanes: &mut [T; $lanes] = &mut strip.as_chunks_mut().0[index];
            let to: *mut $halves = lanes.as_mut_ptr().cast();
            match how {
                Store::Streaming if to.is_aligned() => intrinsic!($stream_halves(to, halves)),
                _ => intrinsic!($store_halves(to, halves)),
            }
        }
    };
}

/// The methods of `Simd` that both sets have in common.
macro_rules! simd_methods {
    ($vector:ident: [f32; $lanes:literal], load $load:ident, splat $splat:ident) => {
        type V = $vector;

        #[inline(always)]
        fn run<T: Task>(self, task: T) -> T::Output {
            // SAFETY: `self` proves that the processor has the instructions.
            unsafe { run(task, self) }
        }

        #[inline(always)]
        fn splat(self, value: f32) -> $vector {
            $vector(intrinsic!($splat(value)))
        }

        #[inline(always)]
        fn vector(self, lanes: &[f32; $lanes]) -> $vector {
            $vector(intrinsic!($load(lanes.as_ptr())))
        }

        #[inline(always)]
        fn prefetch<T>(self, address: *const T) {
            intrinsic!(_mm_prefetch::<_MM_HINT_T0>(address.cast()));
        }

        #[inline(always)]
        fn fence(self) {
            intrinsic!(_mm_sfence());
        }
    };
}

/// The methods of `Vector` that both sets have in common.
macro_rules! vector_methods {
    (
        [$register:ty; $lanes:literal],
        store $store:ident, stream $stream:ident,
        mul_add $mul_add:ident, mul_sub $mul_sub:ident, max $max:ident, min $min:ident,
        bits $bits:ident, from_bits $from_bits:ident, shift_left $shift_left:ident, add_bits $add_bits:ident
    ) => {
        const LANES: usize = $lanes;
        type Lanes = [f32; $lanes];

        #[inline(always)]
        fn vectors(strip: &Strip) -> &[[f32; $lanes]] {
            strip.as_chunks().0
        }

        #[inline(always)]
        fn vectors_mut(strip: &mut Strip) -> &mut [[f32; $lanes]] {
            strip.as_chunks_mut().0
        }

        #[inline(always)]
        fn store_lanes(self, lanes: &mut [f32; $lanes]) {
            intrinsic!($store(lanes.as_mut_ptr(), self.0));
        }

        #[inline(always)]
        fn stream_lanes(self, lanes: &mut [f32; $lanes]) {
            let to = lanes.as_mut_ptr();
            match to.cast::<$register>().is_aligned() {
                true => intrinsic!($stream(to, self.0)),
                false => intrinsic!($store(to, self.0)),
            }
        }

        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            Self(intrinsic!($mul_add(self.0, b.0, c.0)))
        }

        #[inline(always)]
        fn mul_sub(self, b: Self, c: Self) -> Self {
            Self(intrinsic!($mul_sub(self.0, b.0, c.0)))
        }

        #[inline(always)]
        fn max_or_second(self, other: Self) -> Self {
            Self(intrinsic!($max(self.0, other.0)))
        }

        #[inline(always)]
        fn min_or_second(self, other: Self) -> Self {
            Self(intrinsic!($min(self.0, other.0)))
        }

        #[inline(always)]
        fn scale_by_power(self, exponent: Self) -> Self {
            let power = intrinsic!($shift_left::<23>($bits(exponent.0)));
            Self(intrinsic!($from_bits($add_bits($bits(self.0), power))))
        }
    };
}

pub(super) use {intrinsic, simd_methods, vector_methods, vector_types};

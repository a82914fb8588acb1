//! What a host does with memory by addresses, as a driver does for it, and what a module tells of its kernels.

use crate::support::Scene;
use ptx::{Access, FaultKind, Memory, Module};

/// Memory with an allocation of 8 bytes that nobody has written, and its address.
fn eight_bytes() -> (Memory, u64) {
    let mut memory = Memory::new();
    let buffer = memory.allocate_fresh("eight", 8, Access::ReadWrite, 0);
    let address = memory.address(buffer);
    (memory, address)
}

#[test]
fn what_is_written_is_read_where_all_of_it_is_written() {
    let (mut memory, address) = eight_bytes();
    memory.upload(address + 1, &[1, 2, 3]).expect("within");
    assert_eq!(memory.download(address + 1, 3), Ok([1, 2, 3].as_slice()));
    for (offset, bytes) in [(0, 2), (3, 2), (7, 1)] {
        let place = "eight".to_owned();
        let expected = FaultKind::Uninitialised { place, offset: offset as i64, bytes };
        assert_eq!(memory.download(address + offset, bytes), Err(expected));
    }
    memory.copy(address + 4, address, 4).expect("within");
    assert_eq!(memory.download(address + 5, 3), Ok([1, 2, 3].as_slice()));
    assert!(memory.download(address + 4, 1).is_err(), "a copy of what is unwritten is unwritten");
}

#[test]
fn hosts_stay_within_an_allocation() {
    let (mut memory, address) = eight_bytes();
    assert_eq!(memory.range(address + 7), Some(address..address + 8));
    assert_eq!((memory.range(address + 8), memory.range(address - 1), memory.range(0)), (None, None, None));
    let beyond = |result: Result<(), FaultKind>| matches!(result, Err(FaultKind::OutOfBounds { .. }));
    assert!(beyond(memory.upload(address + 5, &[0; 4])));
    assert!(beyond(memory.upload(address - 1, &[0])));
    assert!(beyond(memory.copy(address + 5, address, 4)));
    assert!(beyond(memory.copy(address, address + 5, 4)));
    assert!(beyond(memory.download(address, 9).map(drop)));
    assert!(beyond(memory.download(address, usize::MAX).map(drop)));
}

#[test]
fn what_is_freed_is_gone() {
    let mut scene = Scene::default();
    let buffer = scene.words(&[1, 2, 3], Access::ReadWrite);
    let address = scene.memory.address(buffer);
    scene.run("ld.global.u32 %r1, [%buffer0];").expect("no fault");
    assert!(scene.memory.free(address + 4).is_err(), "not its beginning");
    scene.memory.free(address).expect("it is there");
    assert!(scene.memory.free(address).is_err());
    assert_eq!(scene.memory.range(address), None);
    let place = "buffer0, which has been freed".to_owned();
    let expected = FaultKind::OutOfBounds { place, offset: 4, bytes: 4 };
    assert_eq!(scene.kind("ld.global.u32 %r1, [%buffer0+4];"), expected);
    let next = scene.memory.allocate_fresh("next", 12, Access::ReadWrite, 0);
    assert_ne!(scene.memory.address(next), address);
}

#[test]
fn regions_share_no_addresses() {
    for region in [0, 1, 15] {
        let mut memory = Memory::of_region(region);
        let buffer = memory.allocate_fresh("one", 4, Access::ReadWrite, 0);
        let address = memory.address(buffer);
        assert_eq!(Memory::region_of(address), region);
        memory.upload(address, &[1, 2, 3, 4]).expect("within");
        let mut other = Memory::of_region(region ^ 1);
        other.allocate_fresh("other", 4, Access::ReadWrite, 0);
        assert_eq!(other.range(address), None);
    }
}

#[test]
fn kernels_tell_where_their_parameters_lie_and_how_many_threads_they_take() {
    let kernel = |parameters: &str, directives: &str| {
        let text = format!(".visible .entry k({parameters}) {directives} {{ ret; }}");
        let module = Module::parse(&text).expect("a module");
        let kernel = module.kernel("k").expect("the kernel");
        (kernel.parameters.clone(), kernel.parameter_bytes, kernel.max_threads)
    };
    let (ranges, bytes, threads) = kernel(
        ".param .u32 a, .param .u64 b, .param .u8 c, .param .align 8 .b8 d[24]",
        ".maxntid 128, 2, 1 .minnctapersm 2",
    );
    assert_eq!(ranges, [0..4, 8..16, 16..17, 24..48]);
    assert_eq!((bytes, threads), (48, Some(256)));
    assert_eq!(kernel("", ".reqntid 96"), (Vec::new(), 0, Some(96)));
    assert_eq!(kernel("", "").2, None);
}

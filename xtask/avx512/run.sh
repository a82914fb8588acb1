#!/usr/bin/env bash
# The CPU path's tests on an emulated processor that has AVX-512 (Bochs' Skylake-X), for machines whose own has not. `cargo xtask
# avx512` calls this. Needs Debian's apt, as root; boots a Debian kernel into a memory disk that holds the tests and nothing
# else; takes about five minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=xtask/avx512 work=$PWD/target/avx512 root=$PWD/target/avx512/root
rm -rf "$work" && mkdir -p "$root"/{bin,dev,proc,tests} "$work"/{kernel,disk/isolinux}

echo "the emulator, and a kernel for it"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --no-install-recommends bochs bochsbios vgabios bochs-term xorriso isolinux syslinux-common busybox-static cpio >/dev/null
image=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/ *Depends: *//p')
(cd "$work/kernel" && apt-get download -qq "$image" 2>/dev/null && dpkg -x ./*.deb .)

echo "the tests"
tests=$(cargo test --no-run --lib --test spec --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
for test in $tests; do
  strip --strip-debug -o "$root/tests/$(basename "$test" | sed 's/-.*//')" "$test"
  for library in $(ldd "$test" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library"
  done
done
# The tests look for their data where they were compiled.
mkdir -p "$root$PWD/tests" && cp -r tests/data "$root$PWD/tests/"

echo "the disk"
cp /bin/busybox "$root/bin/"
sed "s|@PROJECT@|$PWD|" "$here/init" >"$root/init" && chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/disk/isolinux/initrd"
cp "$work"/kernel/boot/vmlinuz-* "$work/disk/isolinux/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$here/isolinux.cfg" "$work/disk/isolinux/"
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
  -boot-info-table "$work/disk" 2>/dev/null

echo "the machine"
cp "$here/bochsrc" "$work/" && echo continue >"$work/commands"
cd "$work" && touch serial.txt
tail -f serial.txt --pid=$$ &
# Bochs wants a terminal for the screen, which shows nothing: all that matters comes by the serial line.
TERM=xterm timeout 3600 script -qc 'bochs -q -f bochsrc -rc commands' /dev/null </dev/null >terminal.log 2>&1 || true
sleep 1
grep -q 'avx512f' serial.txt || { echo "the emulated processor has no AVX-512"; exit 1; }
[ "$(grep -c 'test result: ok' serial.txt)" = 2 ] || { echo "not all tests passed, or not all ran: $work/serial.txt"; exit 1; }

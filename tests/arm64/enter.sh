#!/usr/bin/env bash
# enter.sh FOLDER COMMAND...: run a command in an arm64 root, in namespaces of its own: no root, nothing left behind.
set -euo pipefail
[ "${INSIDE:-}" ] || INSIDE=1 exec unshare --user --map-root-user --mount "$0" "$@"
root=$1
shift
# Who runs programs for another processor is asked per user namespace since Linux 6.7; before, the machine must know it.
if mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null && [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    # Magic and mask of an ELF header: 64 bits, little-endian, executable or library, machine 183. F: opened now.
    magic='\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    echo ":qemu-aarch64:M::$magic:$mask:$(command -v qemu-aarch64-static):F" >/proc/sys/fs/binfmt_misc/register
fi
mount --rbind /proc "$root/proc"
# A processor that can be; that of this machine makes XNNPACK give up.
mount --bind "$(dirname "$0")/cpuinfo" "$root/proc/cpuinfo"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs none "$root/tmp"
exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 \
    QEMU_CPU="${QEMU_CPU:-cortex-a72}" "$@"

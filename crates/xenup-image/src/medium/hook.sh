#!/bin/sh
# Run by mkinitramfs: what the installer needs beside a usual initramfs.
case "${1-}" in prereqs) exit 0 ;; esac
. /usr/share/initramfs-tools/hook-functions

for program in xenup debugfs e2fsck ip setpriv blkid lsblk wipefs; do
    path=$(command -v "$program") || { echo "$program is not there" >&2; exit 1; }
    copy_exec "$path"
done
# The medium, a disk with answers, and the disk of an installed system; those that a kernel has built in are no modules.
manual_add_modules isofs udf sr_mod cdrom loop ext4 vfat nls_ascii nls_cp437 nls_utf8 nls_iso8859-1 usb_storage uas
manual_add_modules virtio_net virtio_blk virtio_scsi virtio_pci e1000 e1000e
mkdir -p "$DESTDIR/etc/xenup-medium"
cp /xenup-medium/manifest.json /xenup-medium/id "$DESTDIR/etc/xenup-medium/"

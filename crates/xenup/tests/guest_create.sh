# Nothing is written by a dry run.
before=$(there)
create 0 web --dry-run --auto
says 'name = "web"'
says 'iface eth0 inet dhcp'
[ "$(there)" = "$before" ]

# Two guests of one base.
create 0 web --address 192.0.2.10/24 --gateway 192.0.2.1 --dns 192.0.2.53 --auto --swap 256M
create 0 db --type pv --size 3G
for image in disks/web.img disks/db.img; do
  e2fsck -fn "$image"
  ends 0 guest disk "$image"
  says 'vmlinuz-'
  says 'console=hvc0'
done
ends 0 guest check
[ "$(grep -c 'nothing to say' said)" = 1 ]
says guest-pygrub-root
ends 0 guest list
says 'starts with the host'
# With the loaders of grub-xen-host in a folder, the verdict is that both start.
if [ -n "${GRUB_XEN:-}" ]; then
  cp "$GRUB_XEN"/*.bin /usr/lib/grub-xen/
  ends 0 audit /etc/xen/web.cfg /etc/xen/db.cfg --to "$SUITE"
fi
inside() { debugfs -R "cat $2" "$1" 2>/dev/null; }
[ "$(inside disks/web.img /etc/hostname)" = web ]
[ "$(inside disks/db.img /etc/hostname)" = db ]
uuid() { dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Filesystem UUID: *//p'; }
[ "$(uuid disks/web.img)" != "$(uuid disks/db.img)" ]
inside disks/web.img /etc/fstab | grep -q "UUID=$(uuid disks/web.img) / "
inside disks/web.img /boot/grub/grub.cfg | grep -q "root=UUID=$(uuid disks/web.img) ro console=hvc0 net.ifnames=0"
# What else differs between the two is what makes each its own, and nothing more.
for image in web db; do
  mkdir "tree-$image"
  debugfs -R "rdump /etc tree-$image" "disks/$image.img" 2>/dev/null
  debugfs -R "rdump /boot tree-$image" "disks/$image.img" 2>/dev/null
  debugfs -R "rdump /root tree-$image" "disks/$image.img" 2>/dev/null
done
diff --no-dereference -rq tree-web tree-db | sed 's/.*tree-web\///; s/ and .*//' | sort > differs || true
printf '%s\n' boot/grub/grub.cfg etc/fstab etc/hostname etc/hosts etc/network/interfaces etc/resolv.conf | diff - differs

# What is taken is not replaced.
before=$(there)
create 4 web
says 'hint: '
create 4 other --bridge absent
says 'hint: --bridge xenbr0'
create 2 other --address 192.0.2.10
create 2 other --package 'a b'
touch disks/other.img
create 4 other
says 'is not replaced'
rm disks/other.img

# A file that is none of what it is said to be is refused before a base is looked at.
create 2 other --script key.pub
says 'hint: make its first line #!/bin/sh'
create 2 other --script absent
create 2 other --cloud-init key.pub
says 'hint: begin it with #cloud-config'
create 2 other --kernel domU-minimal
says 'hint: xenup kernel build makes one'
create 2 other --kernel ./key.pub --ramdisk absent
says 'hint: name the initrd'
create 2 other --kernel ./key.pub
says 'not read as a kernel'
create 4 other --kernel "$OLD_KERNEL"
says 'starts no PVH guest under Xen'
says 'hint: '

# A kernel of this machine instead of the disk's own.
for name in $(debugfs -R 'ls -p /boot' disks/web.img 2>/dev/null | cut -d/ -f6); do
  case $name in vmlinuz-* | config-* | initrd.img-*) debugfs -R "dump /boot/$name $name" disks/web.img 2>/dev/null ;; esac
done
mkdir -p /var/lib/xenup/kernels/6.1.0-domu-full
cp vmlinuz-* /var/lib/xenup/kernels/6.1.0-domu-full/vmlinuz
cp config-* /var/lib/xenup/kernels/6.1.0-domu-full/config
create 4 own --kernel domU-full
says 'CONFIG_XEN_BLKDEV_FRONTEND is not built in'
says 'hint: name its initrd'
create 0 own --kernel domU-full --ramdisk initrd.img-*
if grep -q 'the modules of' said; then false; fi
grep -q '^kernel = "/var/lib/xenup/kernels/6.1.0-domu-full/vmlinuz"$' /etc/xen/own.cfg
grep -q "^ramdisk = \"$PWD/initrd.img-" /etc/xen/own.cfg
grep -q '^cmdline = "root=/dev/xvda ro ' /etc/xen/own.cfg
ends 0 guest check /etc/xen/own.cfg
ends 0 guest delete --yes own
[ -e /var/lib/xenup/kernels/6.1.0-domu-full/vmlinuz ]
rm -r /var/lib/xenup/kernels

# Scripts for its first boot are on its disk, in order, and nowhere else.
printf '#!/bin/sh\necho "said at first boot"\n' > setup.sh
create 0 scripted --script setup.sh --script setup.sh
inside disks/scripted.img /usr/local/lib/xenup-script-2-setup.sh | diff - setup.sh
debugfs -R 'stat /usr/local/lib/xenup-script-1-setup.sh' disks/scripted.img 2>/dev/null | grep -q 'Mode:  0755'
inside disks/scripted.img /etc/systemd/system/xenup-scripts.service | grep -c '^ExecStart=' | grep -qx 2
ends 0 guest delete --yes scripted

# The host's own programs are told of a guest, and only root's are run.
mkdir -p /etc/xenup/guest.d
hook() { printf '#!/bin/sh\n%s\n' "$2" > "/etc/xenup/guest.d/$1"; chmod 755 "/etc/xenup/guest.d/$1"; }
hook 10-note "echo \"10 \$XENUP_ACTION \$XENUP_GUEST\" >> $PWD/told; [ -e \"\$XENUP_DISK\" ] && [ -e \"\$XENUP_CONFIG\" ]"
hook 20-say 'echo "it is called $XENUP_GUEST"'
hook 30.off 'false'
create 0 hooked --dry-run
says 'program   /etc/xenup/guest.d/10-note'
says '/etc/xenup/guest.d/30.off is not run'
[ ! -e told ]
create 0 hooked
says '20-say: it is called hooked'
ends 0 guest delete --yes hooked
printf '10 created hooked\n10 deleting hooked\n' | diff - told
# The first that fails takes the guest with it, and those that knew of it are told.
before=$(there)
rm told
hook 20-say 'echo "no room in the zone" >&2; exit 3'
create 1 hooked
says 'no room in the zone'
says 'hint: mend it, or take it out of the way: chmod a-x /etc/xenup/guest.d/20-say'
[ "$(there)" = "$before" ]
printf '10 created hooked\n10 deleting hooked\n' | diff - told
# It stops a deletion too.
hook 20-say '[ "$XENUP_ACTION" = created ]'
create 0 hooked
ends 1 guest delete --yes hooked
says 'hint: hooked was not removed'
[ -e disks/hooked.img ] && [ -e /etc/xen/hooked.cfg ] && [ -e /var/lib/xenup/guests/hooked.json ]
rm /etc/xenup/guest.d/20-say
ends 0 guest delete --yes hooked
# Killed while one runs, and stopped while one runs.
hook 20-say "[ \$XENUP_ACTION = deleting ] || { touch $PWD/waits; sleep 3; }"
for signal in KILL INT; do
  rm -f waits
  "$XENUP" guest create hooked --suite "$SUITE" --ssh-key key.pub --dir disks > said 2>&1 & pid=$!
  until [ -e waits ]; do kill -0 $pid; done
  kill -$signal $pid
  wait $pid || true
  if [ $signal = KILL ]; then ends 0 guest delete --yes hooked; else says 'nothing of it is left'; fi
  [ "$(there)" = "$before" ]
done
rm /etc/xenup/guest.d/20-say
chmod 775 /etc/xenup/guest.d/10-note
create 4 hooked
says 'hint: look at what is in it, then: chown root:root /etc/xenup/guest.d/10-note'
rm -r /etc/xenup

# Whatever fails, nothing is left.
mount -t tmpfs -o size=64M tmpfs tiny
DIR=tiny create 1 full
says 'make room'
umount tiny
mv /etc/xen/auto /etc/xen/auto-aside && touch /etc/xen/auto
create 1 blocked --auto
rm /etc/xen/auto && mv /etc/xen/auto-aside /etc/xen/auto
mv /usr/lib/grub-xen /usr/lib/grub-xen-aside
create 4 unbootable
says 'hint: apt install grub-xen-host'
mv /usr/lib/grub-xen-aside /usr/lib/grub-xen
[ "$(there)" = "$before" ]

# A kill leaves what `guest delete` takes away.
"$XENUP" guest create killed --suite "$SUITE" --ssh-key key.pub --dir disks > said 2>&1 & pid=$!
until [ -e /var/lib/xenup/guests/killed.json ]; do kill -0 $pid; done
kill -KILL $pid
wait $pid || true
create 4 killed
ends 0 guest delete --yes killed
[ "$(there)" = "$before" ]

# A disk grows with its file system, and only the one that was made, of a guest that is off.
ends 2 guest resize db 2G
says 'is not made smaller'
ends 0 guest resize db 4G
e2fsck -fn disks/db.img
[ "$(stat -c %s disks/db.img)" = $((4 << 30)) ]
dumpe2fs -h disks/db.img 2>/dev/null | grep -q "^Block count: *$((4 << 18))$"
# One that was stopped between the two steps goes on.
truncate -s 5G disks/db.img
ends 0 guest resize db 5G
dumpe2fs -h disks/db.img 2>/dev/null | grep -q "^Block count: *$((5 << 18))$"
ends 4 guest resize absent 5G
says 'xenup guest list'
mkdir -p /var/lib/xen/save && touch /var/lib/xen/save/db
ends 4 guest resize db 6G
says 'hint: xl restore /var/lib/xen/save/db'
rm /var/lib/xen/save/db
cp --sparse=always disks/db.img kept.img
tune2fs -U random disks/db.img > /dev/null
ends 1 guest resize db 6G
says 'is not the guest'
cp --sparse=always kept.img disks/db.img
dd if=/dev/urandom of=disks/db.img bs=4096 seek=1 count=64 conv=notrunc status=none
ends 1 guest resize db 6G
says 'nothing was grown'
[ "$(stat -c %s disks/db.img)" = $((5 << 30)) ]
mv kept.img disks/db.img

# A guest is asked about before it goes, and takes nothing of another with it.
ends 2 guest delete web
says 'hint: xenup guest delete --yes web'
sed 's/"db"/"third"/; s/uuid = .*//; s/mac=[^,]*,//' /etc/xen/db.cfg > /etc/xen/third.cfg
ends 4 guest delete --yes db
says '/etc/xen/third.cfg'
rm /etc/xen/third.cfg
ends 0 guest delete --yes web
[ ! -e disks/web.img ] && [ ! -e /etc/xen/web.cfg ] && [ ! -L /etc/xen/auto/web.cfg ]
[ -e disks/db.img ] && [ -e /etc/xen/db.cfg ]
ends 4 guest delete --yes web
ends 0 guest delete --yes db
[ "$(ls -A disks)" = "" ]
[ "$(ls -A /var/lib/xenup/guests)" = "" ]

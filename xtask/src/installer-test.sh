#!/bin/sh
# The first process of the emulated machine: debian-installer's own programs, with the new system on the first disk, at
# the two moments at which the component acts.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
exec > /dev/ttyS0 2>&1 < /dev/null

end() {
	echo "installer: end, $1"
	sync
	poweroff -f
}

# In no order: those that miss a symbol are tried again.
for round in 1 2 3 4; do
	for module in /ko/*.ko; do insmod "$module" 2> /dev/null; done
done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda3 ] && [ -e /sys/class/net/eth0 ] && break; sleep 1; done

mkdir -p /target /dev/disk/by-uuid
mount -t ext4 /dev/vda3 /target || end "no new system"
ln -s ../../vda3 "/dev/disk/by-uuid/$(blkid -o value -s UUID /dev/vda3)"
mount --bind /dev /target/dev

ip link set lo up
ip link set eth0 name enp0s2
ip link set enp0s2 up
ip address add 10.99.0.10/24 dev enp0s2
ip route add default via 10.99.0.2
date -s "$(cat /now)" > /dev/null

udpkg --unpack /xenup.udeb
debconf-set-selections /preseed
export DEBIAN_FRONTEND=text
# An empty line takes the default of what is asked.
yes '' | head -n 20 > /answers
debconf -o xenup-udeb /usr/lib/pre-pkgsel.d/40xenup < /answers || end "pre-pkgsel failed"
echo "installer: pre-pkgsel done"
debconf -o xenup-udeb /usr/lib/finish-install.d/70xenup < /answers || end "finish-install failed"
echo "installer: finish-install done"
tail -n 15 /target/var/log/xenup/*.log
for point in run sys proc dev/pts dev .; do umount "/target/$point" 2> /dev/null; done
end done

# A guest of netplan with a seed for cloud-init and a script: each is on its disk, where the packages of its base look for it.
inside() { debugfs -R "cat $1" disks/cloud.img 2>/dev/null; }
stat_of() { debugfs -R "stat $1" disks/cloud.img 2>/dev/null; }
printf '#cloud-config\nwrite_files:\n- {path: /root/by-cloud-init, content: written}\n' > user-data
printf '#!/bin/sh\necho "by the script" | tee /root/by-script\n' > setup.sh
create 0 cloud --network netplan --cloud-init user-data --script setup.sh \
  --address 192.0.2.10/24 --gateway 192.0.2.1 --dns 192.0.2.53 --address 2001:db8::10/64
e2fsck -fn disks/cloud.img
inside /etc/netplan/10-xenup.yaml | grep -q 'renderer: networkd'
stat_of /etc/netplan/10-xenup.yaml | grep -q 'Mode:  0600'
inside /var/lib/cloud/seed/nocloud/user-data | diff - user-data
stat_of /var/lib/cloud/seed/nocloud/user-data | grep -q 'Mode:  0600'
inside /var/lib/cloud/seed/nocloud/meta-data | grep -q 'local-hostname: "cloud"'
inside /etc/cloud/cloud.cfg.d/99-xenup.cfg | grep -q 'datasource_list: \[ NoCloud, None \]'
# ds-identify and cloud-init read the last of these.
last=$(debugfs -R 'ls -p /etc/cloud/cloud.cfg.d' disks/cloud.img 2>/dev/null | cut -d/ -f6 | grep '[.]cfg$' | LC_ALL=C sort | tail -n 1)
[ "$last" = 99-xenup.cfg ]
mkdir tree
debugfs -R 'rdump / tree' disks/cloud.img 2> /dev/null
mount --rbind /dev tree/dev
mount --bind /proc tree/proc
chroot tree netplan get ethernets.eth0.addresses | grep -q 192.0.2.10/24
chroot tree netplan generate
grep -q '^Gateway=192.0.2.1$' tree/run/systemd/network/10-netplan-eth0.network
chroot tree cloud-init schema --config-file /var/lib/cloud/seed/nocloud/user-data
for unit in systemd-networkd systemd-resolved; do systemctl --root=tree is-enabled $unit.service; done
chroot tree systemd-analyze verify xenup-scripts.service
[ "${KEEP:-}" = "" ] || { umount -l tree/dev tree/proc; cp -a tree "$KEEP"; }
ends 0 guest delete --yes cloud

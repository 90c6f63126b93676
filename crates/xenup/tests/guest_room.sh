trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
cd "$FOLDER"
mkdir over disks tiny
mount -t tmpfs tmpfs over
for dir in /etc /var/lib /usr/lib; do
  name=${dir//\//_}
  mkdir "over/upper$name" "over/work$name"
  mount -t overlay overlay -o "lowerdir=$dir,upperdir=over/upper$name,workdir=over/work$name" "$dir"
done
mkdir -p /usr/lib/grub-xen /etc/xen/auto
touch /usr/lib/grub-xen/grub-i386-xen_pvh.bin /usr/lib/grub-xen/grub-x86_64-xen.bin
rm -rf /var/lib/xenup/guests /etc/xenup
ip link set lo up
ip link add xenbr0 type bridge
echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvciB0ZXN0cyBhbG9uZQ admin@example' > key.pub

# Runs xenup; its exit code must be the first argument, its words go to `said`.
ends() {
  local wanted=$1 code=0
  shift
  "$XENUP" "$@" > said 2>&1 || code=$?
  [ "$code" = "$wanted" ] || { echo "xenup $*: exit $code, not $wanted" >&2; cat said >&2; exit 1; }
}
says() { grep -qF -- "$1" said || { echo "not said: $1" >&2; cat said >&2; exit 1; }; }
there() { (cd /; find etc/xen var/lib/xenup/guests "$FOLDER/disks" "$FOLDER/tiny" 2>/dev/null | sort); }
create() { local code=$1; shift; ends "$code" guest create --suite "$SUITE" --ssh-key key.pub --dir "${DIR:-disks}" "$@"; }

//! Builds the plain Debian of the rehearsals and prints its steps and times.
//!
//! `cargo run -p xenup-image --example plain_image -- OUT.qcow2 [bookworm|trixie] [PUBLIC-KEY-LINE]`

use std::io::Write as _;
use std::path::Path;

use xenup_image::{ImageSpec, Progress, Suite};

/// crypt(5) of the word "rehearsal", for the console of a throw-away machine.
const PASSWORD: &str =
    "$6$xenuplab$AshuVU/LvGLGQktYQtUsv7SbLAVCKl155hsDXGIpjyqAk1ApV36/1zu4Kk0xNKvTo32D4KKDy6cDM6xdaR74o.";

/// The rehearsal's first two NICs on QEMU's q35 machine, at PCI slots 2 and 3 of the root bus.
const INTERFACES: &str = "\
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

auto enp0s2
iface enp0s2 inet static
\taddress 10.99.0.10/24
\tgateway 10.99.0.2

allow-hotplug enp0s3
iface enp0s3 inet static
\taddress 10.0.3.15/24
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let out = args.first().ok_or("usage: plain_image OUT.qcow2 [bookworm|trixie] [PUBLIC-KEY-LINE]")?;
    let suite =
        args.get(1).map_or(Some(Suite::Bookworm), |name| Suite::parse(name)).ok_or("no such suite")?;
    let mut spec = ImageSpec::plain(suite);
    spec.interfaces = INTERFACES.into();
    spec.nameservers = vec!["10.99.0.3".into()];
    spec.root_password_hash = Some(PASSWORD.into());
    spec.ssh_authorized_keys = args.get(2).cloned().into_iter().collect();
    let mut err = std::io::stderr();
    let image = xenup_image::build(&spec, Path::new(out), &mut |progress| {
        // A progress line that cannot be written is no reason to stop.
        let _ = match progress {
            Progress::Started { step } => writeln!(err, "== {step}"),
            Progress::Line { text } => writeln!(err, "   {text}"),
            Progress::Finished(time) => writeln!(err, "== {} {:.1} s", time.step, time.elapsed.as_secs_f64()),
        };
    })?;
    println!("{} ({} bytes, root {})", image.path.display(), image.size, image.identity.root);
    for time in &image.steps {
        let note = if time.cached { " (from the cache)" } else { "" };
        println!("{:>8.2} s  {}{note}", time.elapsed.as_secs_f64(), time.step);
    }
    Ok(())
}

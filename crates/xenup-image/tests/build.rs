//! A whole build from the mirror: needs root, a mirror and some minutes, so it runs only when asked for
//! (`cargo test -p xenup-image --test build -- --ignored`).
#![allow(clippy::disallowed_methods, reason = "tests look at what was built")]

use xenup_image::{Format, ImageSpec, Progress, Suite, build_in};

#[test]
#[ignore = "needs root, a Debian mirror and two minutes"]
fn a_plain_debian_is_built_and_built_again_from_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let (cache, out) = (directory.path().join("cache"), directory.path().join("disk.raw"));
    let spec = ImageSpec { format: Format::Raw, ..ImageSpec::plain(Suite::Bookworm) };
    let mut steps = Vec::new();
    let first = build_in(&cache, &spec, &out, &mut |progress| {
        if let Progress::Finished(time) = progress {
            steps.push(time.step);
        }
    })
    .unwrap();
    assert_eq!(std::fs::metadata(&out).unwrap().len(), spec.size);
    assert_eq!(first.kernels.len(), 1, "{:?}", first.kernels);
    assert_eq!(steps, first.steps.iter().map(|time| time.step).collect::<Vec<_>>());
    assert!(first.steps.iter().all(|time| !time.cached));
    let again = build_in(&cache, &ImageSpec { hostname: "again".into(), ..spec }, &out, &mut |_| {}).unwrap();
    assert!(again.steps.iter().any(|time| time.cached), "the packages were installed a second time");
    assert_ne!(first.identity.root, again.identity.root);
    let left: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the kept tree and the lock stay: {left:?}");
}

//! The three kinds of files that pygrub reads, as its own parsers read them (GrubConf.py, ExtLinuxConf.py of Xen 4.17).
//!
//! Decides: entries and default, line by line; an error is what is an exception there, and ends the whole file. Never:
//! knows a variable, a condition, a function or another file, since pygrub does not.

/// An entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) title: String,
    pub(super) kernel: Option<String>,
    pub(super) args: Option<String>,
    pub(super) initrd: Option<String>,
}

/// What a file comes to.
#[derive(Debug, Default)]
pub(super) struct Menu {
    pub(super) images: Vec<Image>,
    default: usize,
    timeout: Option<String>,
}

impl Menu {
    /// The entry that it takes where nobody presses a key.
    pub(super) fn chosen(&self) -> Result<&Image, String> {
        let timeout = match &self.timeout {
            None => -1,
            Some(text) => integer(text).ok_or_else(|| format!("its timeout is no number: {text:?}"))?,
        };
        let count = self.images.len();
        let wanted = match self.default {
            // One too many: the menu goes back to its last entry, unless it ends before it is drawn again.
            behind if behind == count && timeout != 1 => count.saturating_sub(1),
            other => other,
        };
        let image = self.images.get(wanted).or_else(|| self.images.first());
        image.ok_or_else(|| "it has no entry as pygrub reads it".to_owned())
    }

    /// `default` of GRUB: what is no number is the first.
    fn set_default(&mut self, text: &str) -> Result<(), String> {
        let number = integer(text).unwrap_or_default();
        self.default = usize::try_from(number).map_err(|_| "its default is negative".to_owned())?;
        Ok(())
    }
}

/// grub.cfg.
pub(super) fn grub(text: &str) -> Result<Menu, String> {
    let mut menu = Menu::default();
    let (mut in_function, mut level) = (false, 0_usize);
    let mut open: Option<Image> = None;
    for line in lines(text) {
        if line.starts_with("function") {
            in_function = true;
        } else if in_function {
            in_function = !line.starts_with('}');
        } else if let Some(title) = menuentry(line) {
            if open.is_some() {
                return Err("an entry begins inside another".to_owned());
            }
            open = Some(Image { title: title.to_owned(), ..Image::default() });
        } else if line.starts_with("submenu") {
            level = level.saturating_add(1);
        } else if line.starts_with('}') {
            match open.take() {
                Some(image) => menu.images.push(image),
                None if level > 0 => level = level.saturating_sub(1),
                None => return Err("a closing brace without an entry that it reads".to_owned()),
            }
        } else {
            grub_line(line, &mut menu, open.as_mut())?;
        }
    }
    if open.is_some() {
        return Err("it ends inside an entry".to_owned());
    }
    Ok(menu)
}

fn grub_line(line: &str, menu: &mut Menu, open: Option<&mut Image>) -> Result<(), String> {
    let (command, argument) = exact_split(line);
    let (command, argument) = match command {
        "set" => {
            let (name, value) = set(argument)?;
            (format!("set:{name}"), value)
        }
        other => (other.to_owned(), argument),
    };
    let argument = strip(argument);
    match (open, command.as_str()) {
        (Some(_), "set:root") => device(argument),
        (Some(image), "linux" | "linux16") => kernel(image, argument),
        (Some(image), "initrd" | "initrd16") => {
            image.initrd = Some(path(argument)?);
            Ok(())
        }
        (None, "set:default") => menu.set_default(argument),
        (None, "set:timeout") => {
            menu.timeout = Some(argument.to_owned());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `^menuentry ["'](.*?)["'] (.*){` of pygrub.
fn menuentry(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("menuentry ")?.strip_prefix(['"', '\''])?;
    let end = rest.char_indices().find(|(at, c)| {
        let behind = rest.get(at.saturating_add(1)..).unwrap_or_default();
        matches!(c, '"' | '\'') && behind.starts_with(' ') && behind.contains('{')
    })?;
    rest.get(..end.0)
}

/// menu.lst and grub.conf.
pub(super) fn legacy(text: &str) -> Result<Menu, String> {
    let mut menu = Menu::default();
    let mut open: Option<(Image, bool)> = None;
    for line in lines(text) {
        if line.starts_with("title") {
            menu.images.extend(open.take().map(|(image, _)| image));
            let title = line.get(6..).unwrap_or_default().trim().to_owned();
            open = Some((Image { title, ..Image::default() }, false));
            continue;
        }
        let (command, argument) = exact_split(line);
        let argument = strip(argument);
        match (&mut open, command) {
            (Some((image, filled)), command) => {
                *filled = true;
                match command {
                    "root" | "rootnoverify" => device(argument)?,
                    "kernel" => kernel(image, argument)?,
                    "initrd" => image.initrd = Some(path(argument)?),
                    _ => {}
                }
            }
            (None, "default") => menu.set_default(argument)?,
            (None, "timeout") => menu.timeout = Some(argument.to_owned()),
            (None, "splashimage") => drop(path(argument)?),
            _ => {}
        }
    }
    menu.images.extend(open.filter(|(_, filled)| *filled).map(|(image, _)| image));
    Ok(menu)
}

/// extlinux.conf and isolinux.cfg: `linux` and `initrd` lines are not known to it.
pub(super) fn extlinux(text: &str) -> Result<Menu, String> {
    let mut menu = Menu::default();
    let mut default = None;
    let mut open: Option<Image> = None;
    for line in lines(text) {
        if line.to_lowercase().starts_with("label") {
            menu.images.extend(open.replace(Image::default()));
        }
        let (command, argument) = exact_split(line);
        let command = command.to_lowercase();
        match (&mut open, command.as_str()) {
            (Some(image), "label") => image.title = unquoted(argument),
            (Some(image), "kernel") => {
                let value = unquoted(argument);
                let (kernel, args) = split_args(&value);
                (image.kernel, image.args) = (Some(kernel.to_owned()), args.map(str::to_owned));
            }
            (Some(image), "append") => append(image, argument),
            (Some(_), _) => {}
            (None, "default") => default = Some(strip(argument).to_owned()),
            (None, "timeout") => menu.timeout = Some(strip(argument).to_owned()),
            (None, _) => {}
        }
    }
    menu.images.extend(open);
    let named = default.and_then(|name| menu.images.iter().position(|image| image.title == name));
    menu.default = named.unwrap_or_default();
    Ok(menu)
}

fn append(image: &mut Image, argument: &str) {
    if image.kernel.as_deref().is_some_and(|kernel| kernel.ends_with("mboot.c32")) {
        let modules: Vec<&str> = argument.split("---").collect();
        let (kernel, initrd) = match modules.as_slice() {
            [_, kernel, initrd] | [kernel, initrd] => (strip(kernel), strip(initrd)),
            _ => return,
        };
        let (kernel, args) = split_args(kernel);
        (image.kernel, image.args) = (Some(kernel.to_owned()), args.map(str::to_owned));
        image.initrd = Some(initrd.to_owned());
        return;
    }
    let mut rest = argument.to_owned();
    for word in strip(argument).split(' ').filter(|word| word.to_lowercase().starts_with("initrd=")) {
        image.initrd = Some(word.replace("initrd=", ""));
        rest = rest.replace(word, "");
    }
    image.args = Some(unquoted(&rest));
}

/// The lines that are neither empty nor a comment.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').map(strip).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Blanks as Python has them.
fn blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn strip(text: &str) -> &str {
    text.trim_matches(blank)
}

/// A whole number as Python's `int` takes it.
fn integer(text: &str) -> Option<i64> {
    strip(text).parse().ok()
}

/// The first word and the rest, as `split(None, 1)` has them.
fn words(text: &str) -> (&str, Option<&str>) {
    let text = text.trim_start_matches(blank);
    match text.split_once(blank) {
        Some((word, rest)) => (word, Some(rest.trim_start_matches(blank)).filter(|rest| !rest.is_empty())),
        None => (text, None),
    }
}

/// Whether the text is cut at `=`: it stands before the first blank or tab.
fn cut_at_equals(text: &str) -> bool {
    match (text.find('='), text.find([' ', '\t'])) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(equals), Some(blank)) => equals < blank,
    }
}

/// `grub_exact_split(line, 2)`.
fn exact_split(text: &str) -> (&str, &str) {
    if cut_at_equals(text) {
        return text.split_once('=').unwrap_or((text, ""));
    }
    let (word, rest) = words(text);
    (word, rest.unwrap_or_default())
}

/// `grub2_handle_set`: two parts, or an exception.
fn set(argument: &str) -> Result<(&str, &str), String> {
    let wrong = || format!("pygrub cannot take apart `set {argument}`");
    let (name, value) = if cut_at_equals(argument) {
        let (name, value) = argument.split_once('=').ok_or_else(wrong)?;
        if value.contains('=') {
            return Err(wrong());
        }
        (name, value)
    } else {
        let (name, rest) = words(argument);
        let (value, more) = words(rest.ok_or_else(wrong)?);
        if more.is_some() {
            return Err(wrong());
        }
        (name, value)
    };
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inside = quote.and_then(|quote| value.get(1..)?.rsplit_once(quote)).map(|(inside, _)| inside);
    Ok((name, inside.unwrap_or(value)))
}

/// `GrubDiskPart`: a disk by its number, with a partition by its number or none.
fn device(text: &str) -> Result<(), String> {
    let wrong = || format!("pygrub knows no device {text:?}");
    let mut parts = text.splitn(3, ',');
    let (disk, partition) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return Err(wrong());
    }
    let plain = |text: &str| text.replace(['(', ')'], "");
    let disk = plain(disk);
    let known = match disk.strip_prefix("/dev/xvd") {
        Some(rest) => !rest.is_empty(),
        None => disk.char_indices().nth(2).and_then(|(at, _)| integer(disk.get(at..)?)).is_some(),
    };
    let partition = partition.map(plain);
    let number = |text: &String| {
        let text = text.strip_prefix("msdos").unwrap_or(text);
        integer(text.strip_prefix("gpt").unwrap_or(text)).is_some()
    };
    if known && partition.as_ref().is_none_or(number) { Ok(()) } else { Err(wrong()) }
}

/// `get_path`: a device in front is dropped, once it is known.
fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('(') {
        return Ok(text.to_owned());
    }
    let (before, rest) = text.split_once(')').ok_or_else(|| format!("no `)` in {text:?}"))?;
    device(before)?;
    Ok(rest.to_owned())
}

/// Path and arguments; without a blank all is the path.
fn split_args(text: &str) -> (&str, Option<&str>) {
    if text.contains(' ') { words(text) } else { (text, None) }
}

fn kernel(image: &mut Image, text: &str) -> Result<(), String> {
    let (kernel, args) = split_args(text);
    (image.kernel, image.args) = (Some(path(kernel)?), args.map(str::to_owned));
    Ok(())
}

/// A value without the quotes around it.
fn unquoted(text: &str) -> String {
    let text = strip(text);
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inside.filter(|inside| !inside.is_empty()).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Image, device, extlinux, grub, legacy};

    fn kernels(images: &[Image]) -> Vec<&str> {
        images.iter().filter_map(|image| image.kernel.as_deref()).collect()
    }

    #[test]
    fn what_is_an_exception_there_is_an_error_here() {
        for text in [
            "menuentry D {\nlinux /k\n}\n",
            "menuentry 'a' {\nset root='xen/xvda,msdos1'\nlinux /k\n}\n",
            "menuentry 'a' {\nlinux ($root)/k\n}\n",
            "menuentry 'a' {\nlinux /k\n",
            "set a=b=c\n",
            "set timeout\n",
            "set default=-1\n",
        ] {
            assert!(grub(text).is_err(), "{text}");
        }
        for text in ["hd0,msdos1", "(hd0,0)", "hd1", "/dev/xvda"] {
            assert_eq!(device(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn lines_are_read_as_pygrub_reads_them() {
        let menu = grub(
            "set default=\"${saved_entry}\"\nset timeout=5\nif true; then\nmenuentry 'a' --id x {\n\tlinux\t/boot/vmlinuz-$k root=/dev/xvda ro\n}\n\
             fi\nsubmenu 'more' {\nmenuentry \"b\" {\nset root='hd0,msdos1'\nlinux (hd0,1)/k2 a=b\ninitrd /i\n}\n}\nfunction f {\nlinux /no\n}\n",
        )
        .unwrap_or_default();
        assert_eq!(kernels(&menu.images), ["/boot/vmlinuz-$k", "/k2"]);
        assert_eq!(menu.chosen().map(|image| image.title.as_str()), Ok("a"));
        let menu = legacy("default 1\ntitle a\nroot (hd0,0)\nkernel /a x\ntitle b\nkernel /b\ninitrd /i\n");
        let menu = menu.unwrap_or_default();
        assert_eq!(menu.chosen().map(|image| image.kernel.as_deref()), Ok(Some("/b")));
        let menu = extlinux(
            "default l\nlabel k\nkernel /a\nlabel l\nkernel /b\nappend root=/dev/xvda initrd=/i ro\n",
        );
        let menu = menu.unwrap_or_default();
        let image = menu.chosen().cloned().unwrap_or_default();
        assert_eq!((image.kernel.as_deref(), image.initrd.as_deref()), (Some("/b"), Some("/i")));
    }
}

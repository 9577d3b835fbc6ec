//! Small files of the data directory.

use std::io::{self, Write};
use std::path::Path;

/// Writes a file so that a reader sees the old or the new one, never half of it.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let scratch = path.with_extension("new");
    let mut file = std::fs::File::create(&scratch)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&scratch, path)?;
    // The new name itself has to reach the disk.
    std::fs::File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_new_content_takes_the_place_of_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/endpoint.json");
        super::replace(&path, b"1").unwrap();
        super::replace(&path, b"2").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"2");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}

//! Commands as clients send them.

/// Appends a command to `out`.
pub(crate) fn encode(words: &[&[u8]], out: &mut Vec<u8>) {
    begin(words.len(), out);
    for word in words {
        push(word, out);
    }
}

/// Appends the head of a command of so many words, which are pushed next.
pub(crate) fn begin(words: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{words}\r\n").as_bytes());
}

/// Appends the next word of a command.
pub(crate) fn push(word: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

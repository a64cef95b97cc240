//! Lengths as Parquet's DELTA_BINARY_PACKED, of 32 bits (Parquet format, "Encodings", "Delta
//! Encoding").
//!
//! ```text
//! header  128, 4, number of values: varints; the first value: zigzag varint
//! block   least difference: zigzag varint; 4 bit widths of a byte; 4 miniblocks
//! miniblock  32 differences less the least one, from the lowest bit on, in `width` bits each
//! ```
//!
//! The last block may lack values: a miniblock that has some is filled up with zeros, one that
//! has none has width 0 and no bytes.

/// Values of a block.
const BLOCK: usize = 128;

/// Values of a miniblock.
const MINI: usize = 32;

/// Appends the encoded values.
pub(super) fn encode(values: &[i32], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINI) as u64, out);
    varint(values.len() as u64, out);
    varint(zigzag(values.first().copied().unwrap_or(0)), out);
    let mut before = values.first().copied().unwrap_or(0);
    for block in values.get(1..).unwrap_or_default().chunks(BLOCK) {
        // Differences wrap around in 32 bits, as the format asks.
        let mut deltas = [0_i32; BLOCK];
        for (delta, value) in deltas.iter_mut().zip(block) {
            *delta = value.wrapping_sub(before);
            before = *value;
        }
        let least = deltas[..block.len()].iter().copied().min().unwrap_or(0);
        varint(zigzag(least), out);
        let mut above = [0_u32; BLOCK];
        for (above, delta) in above.iter_mut().zip(&deltas[..block.len()]) {
            *above = delta.wrapping_sub(least).cast_unsigned();
        }
        let width = |mini: &[u32]| 32 - mini.iter().fold(0, |all, v| all | v).leading_zeros();
        let widths: Vec<u32> = above.chunks(MINI).map(width).collect();
        out.extend(widths.iter().map(|width| *width as u8));
        for (mini, width) in above.chunks(MINI).zip(&widths) {
            pack(mini, *width, out);
        }
    }
}

/// Appends the values in `width` bits each. There are 32, so the last byte is full.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut filled) = (0_u64, 0);
    for value in values {
        bits |= u64::from(*value) << filled;
        filled += width;
        if filled >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            filled -= 32;
        }
    }
}

/// An unsigned LEB128.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A signed number as an unsigned one, small where it is near to 0.
pub(super) fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)).cast_unsigned())
}

//! `flowspan-generator PROTO_DIR OUT_DIR`: messages and stubs of `flowspan.v1`. The same input gives the same bytes.

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, protos, out] = &arguments[..] else {
        return Err("usage: flowspan-generator PROTO_DIR OUT_DIR".into());
    };
    let mut files: Vec<String> = fs::read_dir(Path::new(protos).join("flowspan/v1"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".proto"))
        .map(|name| format!("flowspan/v1/{name}"))
        .collect();
    files.sort();
    let descriptors = protox::compile(&files, [protos])?;
    let mut config = tonic_prost_build::Config::new();
    // Payloads are slices of the message that they came in, not copies.
    config.bytes(["."]);
    // One order, whatever the hasher of the day.
    config.btree_map(["."]);
    tonic_prost_build::configure()
        .out_dir(out)
        .emit_rerun_if_changed(false)
        .build_transport(false)
        // The other side is only needed to test this one.
        .server_mod_attribute(".", "#[cfg(test)]")
        .compile_fds_with_config(descriptors, config)?;
    let path = Path::new(out).join("flowspan.v1.rs");
    let parsed = fs::read_to_string(&path)?;
    fs::write(&path, format!("// Made by generate.sh from proto/; do not edit.\n{parsed}"))?;
    Ok(())
}

//! The table of reasons against the repository's documentation. Not part of the package.

use flowspan::{Reason, grpc_code_name};

#[test]
fn the_table_is_the_documentations() {
    let page = include_str!("../../../docs/errors.md");
    for reason in Reason::ALL {
        let head = format!("| `{reason}` | {} | `{}` |", reason.jsonrpc_code(), grpc_code_name(reason.grpc_code()));
        assert!(page.contains(&head), "docs/errors.md says something else: {head}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `") && !line.contains("`stepflow`"));
    assert_eq!(rows.count(), Reason::ALL.len());
}

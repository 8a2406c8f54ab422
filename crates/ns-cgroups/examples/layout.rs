//! Shows which control group hierarchies this process sees, and where it sits in them.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

fn main() -> Result<(), ns_cgroups::Error> {
    let layout = ns_cgroups::Layout::detect()?;
    println!("{:?}", layout.kind());
    for hierarchy in layout.hierarchies() {
        println!(
            "{:?} {:24} own group {:12} controllers {}",
            hierarchy.version(),
            hierarchy.mount_point(),
            hierarchy
                .own_group()
                .map_or("not shown".to_owned(), |own| format!("/{own}")),
            hierarchy.controllers().join(","),
        );
    }
    Ok(())
}

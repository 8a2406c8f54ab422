//! The figures as a bar chart in SVG: medians, with a line from p10 to p90.

use std::fmt::Write;

use super::report::{Report, Row, permille};

const ROW: u64 = 34;
const LEFT: u64 = 210;
const BAR_WIDTH: u64 = 560;
/// Room for the words behind the longest bar.
const WIDTH: u64 = LEFT + BAR_WIDTH + 240;
const TOP: u64 = 52;

/// The whole picture.
pub(super) fn svg(report: &Report) -> String {
    let longest = report
        .rows
        .iter()
        .map(|row| row.p90_us.max(row.median_us))
        .max();
    let longest_us = longest.unwrap_or(1).max(1);
    let n_rows = report.rows.iter().zip(0..).count();
    let height = TOP + ROW * u64::try_from(n_rows).unwrap_or(0) + 16;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"16\" fill=\"#1f2933\">One {}, in microseconds: median, line from p10 to p90</text>\n",
        report.what
    );
    for (row, at) in report.rows.iter().zip(0..) {
        bar(&mut svg, report, row, TOP + ROW * at, longest_us);
    }
    svg.push_str("</svg>\n");
    svg
}

fn bar(svg: &mut String, report: &Report, row: &Row, y: u64, longest_us: u64) {
    let x = |us: u64| LEFT + us * BAR_WIDTH / longest_us;
    let color = match row.name {
        name if name.starts_with("floor") || name == "static true" => "#9aa5b1",
        name if name.starts_with("nsrun") || name.starts_with("library") => "#2563a8",
        _ => "#d08a3c",
    };
    let ratio = report.ratio_permille(row).map(permille);
    let words = match ratio {
        Some(ratio) if row.name != row.floor => {
            format!("{} · {ratio} × {}", row.median_us, row.floor)
        }
        _ => row.median_us.to_string(),
    };
    let (name, width, middle) = (row.name, x(row.median_us) - LEFT, y + 11);
    let (from, to) = (x(row.p10_us), x(row.p90_us));
    let written = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#1f2933\">{name}</text>\n\
         <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width}\" height=\"22\" rx=\"2\" fill=\"{color}\"/>\n\
         <line x1=\"{from}\" y1=\"{middle}\" x2=\"{to}\" y2=\"{middle}\" stroke=\"#1f2933\" stroke-width=\"2\"/>\n\
         <text x=\"{}\" y=\"{}\" fill=\"#1f2933\">{words}</text>\n",
        LEFT - 10,
        y + 16,
        x(row.p90_us.max(row.median_us)) + 8,
        y + 16,
    );
    debug_assert!(written.is_ok(), "a string takes everything");
}

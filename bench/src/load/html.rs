//! A report as one HTML file that needs nothing else: words, tables and plots drawn as SVG.

use std::fmt::{Display, Write};

const STYLE: &str = include_str!("html/style.css");
/// Colours that people with any eyes tell apart (Okabe and Ito), in the order of series.
const COLOURS: [&str; 6] = ["#0072b2", "#009e73", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9"];

/// A page under construction.
pub struct Page(String);

impl Page {
    /// A page with a title and what stands below it.
    #[must_use]
    pub fn new(title: &str, intro: &str) -> Self {
        let title = escaped(title);
        Self(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n{STYLE}</style></head>\n\
             <body><main>\n<h1>{title}</h1>\n<p>{}</p>\n",
            escaped(intro)
        ))
    }

    /// A section: what it shows and how it is read, then what is drawn.
    pub fn section(&mut self, heading: &str, how_to_read: &str, drawn: &[String]) {
        let (heading, how_to_read) = (escaped(heading), escaped(how_to_read));
        self.0.push_str(&format!("<section>\n<h2>{heading}</h2>\n<p>{how_to_read}</p>\n"));
        drawn.iter().for_each(|drawn| self.0.push_str(drawn));
        self.0.push_str("</section>\n");
    }

    /// The whole page.
    #[must_use]
    pub fn finish(self) -> String {
        self.0 + "</main></body></html>\n"
    }
}

/// A table: headings, and rows of as many cells. What is a number stands on the right.
#[must_use]
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::from("<div class=\"wide\"><table>\n<thead><tr>");
    headings.iter().for_each(|heading| text.push_str(&format!("<th>{}</th>", escaped(heading))));
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for cell in row {
            let is_number = cell.starts_with(|first: char| first.is_ascii_digit()) || cell == "-";
            let class = if is_number { " class=\"number\"" } else { "" };
            text.push_str(&format!("<td{class}>{}</td>", escaped(cell)));
        }
        text.push_str("</tr>\n");
    }
    text + "</tbody></table></div>\n"
}

/// One row of [`dots`]: what it is of, the values of each series, and what is aimed at for the first series.
pub struct DotRow {
    /// What the row is of.
    pub label: String,
    /// For each series a value, if there is one.
    pub values: Vec<Option<f64>>,
    /// The aim of the first series.
    pub goal: Option<f64>,
}

/// What the values of [`dots`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Ratios: there is a line where it is 1.
    Ratios,
    /// Amounts.
    Amounts,
}

/// Values on a logarithmic scale, a row for each thing, a dot for each series, a bar at the aim.
#[must_use]
pub fn dots(series: &[String], rows: &[DotRow], axis: &str, values: Values) -> String {
    const LEFT: f64 = 170.0;
    const WIDTH: f64 = 600.0;
    const STEP: f64 = 26.0;
    let all = || rows.iter().flat_map(|row| row.values.iter().copied().chain([row.goal]).flatten());
    let (least, most) = match values {
        Values::Ratios => (0.5, 2.0),
        Values::Amounts => (f64::INFINITY, f64::NEG_INFINITY),
    };
    let low = all().fold(least, f64::min).clamp(1e-3, 1e9).log10().floor();
    let high = all().fold(most, f64::max).clamp(1e-3, 1e9).log10().ceil().max(low + 1.0);
    let x = |value: f64| LEFT + WIDTH * (value.max(1e-3).log10() - low) / (high - low);
    let bottom = 20.0 + STEP * rows.len() as f64;
    let mut svg = Svg::new(LEFT + WIDTH + 30.0, bottom + 50.0, axis);
    let decades = (low as i32..=high as i32).flat_map(|decade| [1.0, 2.0, 5.0].map(|n| n * 10_f64.powi(decade)));
    for tick in decades.filter(|tick| *tick <= 10_f64.powf(high) * 1.001) {
        let is_one = values == Values::Ratios && (tick - 1.0).abs() < 1e-9;
        let class = if is_one { "one" } else { "grid" };
        svg.line(class, (x(tick), 14.0), (x(tick), bottom));
        svg.text("tick", "middle", (x(tick), bottom + 16.0), &short(tick));
    }
    svg.text("axis", "middle", (LEFT + WIDTH / 2.0, bottom + 38.0), axis);
    for (n, row) in rows.iter().enumerate() {
        let y = 26.0 + STEP * n as f64;
        svg.text("label", "end", (LEFT - 12.0, y + 4.0), &row.label);
        if let Some(goal) = row.goal {
            svg.line("goal", (x(goal), y - 9.0), (x(goal), y + 9.0));
        }
        // The first series last, so that it lies on top.
        for (n, value) in row.values.iter().enumerate().rev() {
            let Some(value) = value else { continue };
            let radius = if n == 0 { 7.0 } else { 5.0 };
            let what = format!("{}, {}: {value:.2}", row.label, series.get(n).map_or("", String::as_str));
            svg.dot(COLOURS[n % COLOURS.len()], (x(*value), y), radius, &what);
        }
    }
    legend(series) + &svg.finish()
}

/// A plot of lines: for each series its points. Zero is in the vertical axis, which is even; the horizontal one is logarithmic
/// where `log` says so.
#[must_use]
pub fn lines(series: &[(String, Vec<(f64, f64)>)], horizontal: &str, vertical: &str, log: bool) -> String {
    const LEFT: f64 = 70.0;
    const TOP: f64 = 14.0;
    const WIDTH: f64 = 680.0;
    const HEIGHT: f64 = 260.0;
    let points = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let scale = |value: f64| if log { value.max(1e-9).log10() } else { value };
    let left = points().map(|(x, _)| scale(x)).fold(f64::INFINITY, f64::min);
    let right = points().map(|(x, _)| scale(x)).fold(f64::NEG_INFINITY, f64::max);
    let top = points().map(|(_, y)| y).fold(0.0, f64::max);
    // Nothing but zeros lie on the axis, below a whole one.
    let top = if top == 0.0 { 1.0 } else { top };
    let step = tick_step(top);
    let ceiling = (top / step).ceil().max(1.0) * step;
    let x = |value: f64| LEFT + WIDTH * (scale(value) - left) / (right - left).max(1e-9);
    let y = |value: f64| TOP + HEIGHT * (1.0 - value / ceiling);
    let mut svg = Svg::new(LEFT + WIDTH + 30.0, TOP + HEIGHT + 50.0, vertical);
    for n in 0..=(ceiling / step).round() as u32 {
        let value = f64::from(n) * step;
        svg.line("grid", (LEFT, y(value)), (LEFT + WIDTH, y(value)));
        svg.text("tick", "end", (LEFT - 8.0, y(value) + 4.0), &short(value));
    }
    let mut ticks: Vec<f64> = points().map(|(x, _)| x).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let every = ticks.len().div_ceil(12).max(1);
    for tick in ticks.into_iter().step_by(every) {
        svg.text("tick", "middle", (x(tick), TOP + HEIGHT + 16.0), &short(tick));
    }
    svg.text("axis", "middle", (LEFT + WIDTH / 2.0, TOP + HEIGHT + 38.0), horizontal);
    for (n, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        svg.path(colour, points.iter().map(|(at, value)| (x(*at), y(*value))));
        for (at, value) in points {
            let what = format!("{name}: {} at {}", short(*value), short(*at));
            svg.dot(colour, (x(*at), y(*value)), 3.0, &what);
        }
    }
    let names: Vec<String> = series.iter().map(|(name, _)| name.clone()).collect();
    format!("<p class=\"vertical\">{}</p>\n", escaped(vertical)) + &legend(&names) + &svg.finish()
}

fn legend(series: &[String]) -> String {
    let mut text = String::from("<p class=\"legend\">");
    for (n, name) in series.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        text.push_str(&format!("<span><i style=\"background:{colour}\"></i>{}</span> ", escaped(name)));
    }
    text + "</p>\n"
}

/// Some five steps up to a value, each 1, 2 or 5 times a power of ten.
fn tick_step(top: f64) -> f64 {
    let raw = (top / 5.0).max(1e-9);
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| raw <= *step * 1.0001).unwrap_or(power)
}

/// A number as it stands at an axis: 20k, 1.5, 0.02.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..1e-2 => format!("{value:.1e}"),
        ..1e3 => {
            let text = format!("{value:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        ..1e6 => short(value / 1e3) + "k",
        _ => short(value / 1e6) + "M",
    }
}

struct Svg(String);

impl Svg {
    fn new(width: f64, height: f64, what: &str) -> Self {
        Self(format!(
            "<div class=\"wide\"><svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(what)
        ))
    }

    fn put(&mut self, piece: std::fmt::Arguments<'_>) {
        self.0.write_fmt(piece).expect("text grows");
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((a, b), (c, d)) = (from, to);
        self.put(format_args!("<line class=\"{class}\" x1=\"{a:.1}\" y1=\"{b:.1}\" x2=\"{c:.1}\" y2=\"{d:.1}\"/>\n"));
    }

    fn text(&mut self, class: &str, anchor: &str, at: (f64, f64), text: &str) {
        let ((x, y), text) = (at, escaped(text));
        self.put(format_args!(
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>\n"
        ));
    }

    fn dot(&mut self, colour: &str, at: (f64, f64), radius: f64, what: &str) {
        let ((x, y), what) = (at, escaped(what));
        self.put(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"><title>{what}</title></circle>\n"
        ));
    }

    fn path(&mut self, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n",
            points.join(" ")
        ));
    }

    fn finish(self) -> String {
        self.0 + "</svg></div>\n"
    }
}

fn escaped(text: impl Display) -> String {
    text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_at_an_axis() {
        for (value, text) in
            [(0.0, "0"), (0.5, "0.5"), (20.0, "20"), (1500.0, "1.5k"), (1e5, "100k"), (2e6, "2M"), (0.001, "1.0e-3")]
        {
            assert_eq!(short(value), text);
        }
        for (top, step) in [(9.0, 2.0), (100.0, 20.0), (0.3, 0.1), (26.0, 10.0)] {
            assert!((tick_step(top) - step).abs() < 1e-9, "{top}: {}", tick_step(top));
        }
    }

    #[test]
    fn what_is_drawn_is_well_formed_and_says_what_it_is() {
        let rows = [DotRow { label: "a<b".into(), values: vec![Some(0.5), None, Some(20.0)], goal: Some(0.4) }];
        let series = ["one".to_owned(), "two".to_owned(), "three & four".to_owned()];
        let curves = [("x".to_owned(), vec![(1.0, 3.0), (100.0, 4.0)]), ("y".to_owned(), vec![])];
        let mut page = Page::new("A \"report\"", "It <is> one.");
        page.section("Ratios", "Left is less.", &[dots(&series, &rows, "ratio", Values::Ratios)]);
        page.section("Amounts", "Left is less.", &[dots(&series, &rows, "us", Values::Amounts)]);
        page.section("Nothing", "Nobody was there.", &[dots(&series, &[], "us", Values::Amounts)]);
        page.section("Curves", "Flat is good.", &[lines(&curves, "sockets", "KB", true), lines(&[], "x", "y", false)]);
        page.section("Figures", "As they are.", &[table(&["a", "b"], &[vec!["x".into(), "1".into()]])]);
        let page = page.finish();
        let mut reader = quick_xml::Reader::from_str(page.trim_start_matches("<!doctype html>\n"));
        reader.config_mut().check_end_names = false;
        while !matches!(reader.read_event().expect("well formed"), quick_xml::events::Event::Eof) {}
        assert_eq!(page.matches("class=\"one\"").count(), 1, "amounts have no line at 1");
        assert!(page.contains("a&lt;b") && page.contains("three &amp; four: 20.00"), "{page}");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}

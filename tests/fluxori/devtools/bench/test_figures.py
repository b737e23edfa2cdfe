from fluxori.devtools.bench.figures import Figure, Figures, format_line, format_table


def make_figures(**measured):
    figures = Figures(lambda _: None)
    for name, values in measured.items():
        figures.add("section", name, "/s", values)
    return figures


class TestFigure:
    def test_shows_the_median_and_half_of_the_range_of_its_repeats(self):
        figure = Figure("section", "name", "/s", (90, 100, 130))

        assert (figure.median, figure.spread) == (100, 0.4)
        assert format_line(figure).split() == ["name", "100", "/s", "±20%"]

    def test_says_whether_its_goal_was_reached(self):
        reached = [
            Figure("ratios", "name", "", (0.6,), goal).reached
            for goal in (None, ("at least", 0.6), ("at least", 0.61), ("at most", 0.6), ("at most", 0.59))
        ]

        assert reached == [None, True, False, True, False]
        assert format_line(Figure("ratios", "name", "", (0.5,), ("at least", 0.6))).endswith("at least 0.6: no")


class TestRatio:
    def test_is_computed_for_each_repeat(self):
        figures = make_figures(fast=[10, 40, 90], slow=[10, 20, 30])

        figures.ratio("fast ÷ slow", ("section", "fast"), ("section", "slow"))

        assert figures.items[-1].values == (1, 2, 3)

    def test_is_left_out_if_one_of_the_figures_was_not_measured(self):
        figures = make_figures(fast=[10])

        figures.ratio("fast ÷ slow", ("section", "fast"), ("section", "slow"))

        assert [figure.name for figure in figures.items] == ["fast"]

    def test_is_shown_below_the_sections(self):
        figures = make_figures(fast=[20], slow=[10])
        figures.ratio("fast ÷ slow", ("section", "fast"), ("section", "slow"), ("at least", 2))

        lines = format_table(figures.items).split("\n")

        assert [line.strip() for line in lines if line.startswith(("section", "ratios"))] == ["section", "ratios"]
        assert lines[-1].startswith("  fast ÷ slow")

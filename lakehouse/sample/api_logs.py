"""Sample calls of an API that classifies free text by activity code, as its log writes them (Python literals)."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time

import polars as pl

from lakehouse.sample.draws import Draws, TimeSlice, Weighted, time_slices, times_of_day

_BLOCK_ROWS = 200_000
# Requests by hour of the day: an office's day, and a nightly batch at one o'clock.
_HOURS = (2, 9, 2, 1, 1, 2, 4, 12, 40, 62, 68, 60, 38, 46, 66, 64, 58, 40, 18, 10, 8, 6, 5, 3)
_RANKS = range(5)

# Codes and labels of the French activity nomenclature NAF rev. 2, and what people write when they mean them.
_ACTIVITIES = (
    ("4711A", "Commerce de détail de produits surgelés", "vente au détail de surgelés"),
    ("4711B", "Commerce d'alimentation générale", "épicerie, alimentation générale"),
    ("4711D", "Supermarchés", "supermarché de quartier"),
    ("1071C", "Boulangerie et boulangerie-pâtisserie", "boulangerie artisanale"),
    ("5610A", "Restauration traditionnelle", "restaurant traditionnel"),
    ("5610C", "Restauration de type rapide", "vente à emporter de pizzas"),
    ("5630Z", "Débits de boissons", "bar, café"),
    ("6820A", "Location de logements", "location de logements meublés"),
    ("6820B", "Location de terrains et d'autres biens immobiliers", "SCI, gestion de biens immobiliers"),
    ("5520Z", "Hébergement touristique et autre hébergement de courte durée", "loueur en meublé de tourisme"),
    ("9602A", "Coiffure", "salon de coiffure"),
    ("9602B", "Soins de beauté", "institut de beauté à domicile"),
    ("8690E", "Activités des professionnels de la rééducation", "masseur kinésithérapeute"),
    ("8690D", "Activités des infirmiers et des sages-femmes", "infirmière libérale"),
    ("6201Z", "Programmation informatique", "développement de logiciels et de sites internet"),
    ("6202A", "Conseil en systèmes et logiciels informatiques", "conseil en informatique"),
    ("7022Z", "Conseil pour les affaires et autres conseils de gestion", "conseil aux entreprises"),
    ("7410Z", "Activités spécialisées de design", "décoratrice d'intérieur"),
    ("7420Z", "Activités photographiques", "photographe de mariage"),
    ("8559A", "Formation continue d'adultes", "organisme de formation"),
    ("8551Z", "Enseignement de disciplines sportives", "coach sportif, cours de yoga"),
    ("4321A", "Travaux d'installation électrique dans tous locaux", "électricien"),
    ("4322A", "Travaux d'installation d'eau et de gaz en tous locaux", "plombier chauffagiste"),
    ("4334Z", "Travaux de peinture et vitrerie", "peintre en bâtiment"),
    ("4399C", "Travaux de maçonnerie générale et gros œuvre de bâtiment", "maçonnerie générale"),
    ("4520A", "Entretien et réparation de véhicules automobiles légers", "garage, mécanique automobile"),
    ("4932Z", "Transports de voyageurs par taxis", "chauffeur VTC"),
    ("5320Z", "Autres activités de poste et de courrier", "livreur de repas à vélo"),
    ("0111Z", "Culture de céréales (à l'exception du riz), de légumineuses et de graines oléagineuses", "céréalier"),
    ("0130Z", "Reproduction de plantes", "pépiniériste"),
    ("4776Z", "Commerce de détail de fleurs, plantes, graines, engrais et animaux de compagnie", "fleuriste"),
    ("4791B", "Vente à distance sur catalogue spécialisé", "vente en ligne de bijoux fantaisie"),
    ("8121Z", "Nettoyage courant des bâtiments", "nettoyage de bureaux"),
    ("8130Z", "Services d'aménagement paysager", "entretien d'espaces verts"),
    ("9001Z", "Arts du spectacle vivant", "compagnie de théâtre"),
    ("9003A", "Création artistique relevant des arts plastiques", "artiste peintre"),
)
_QUALIFIERS = ("", " pour les particuliers", " à titre accessoire", " (micro-entreprise)", " et activités annexes")
_QUALIFIER_WEIGHTS = Weighted((8.0, 1.0, 1.0, 1.0, 1.0))
_NATURES = ("", "01", "10", "99")


class Calls:
    """The calls of one site."""

    def __init__(self, site: str, seed: int) -> None:
        self._draws = Draws("api_logs", site, seed)
        self._activities = Weighted([1.0 / (rank + 4) for rank in range(len(_ACTIVITIES))])
        texts = [text + qualifier for _, _, text in _ACTIVITIES for qualifier in _QUALIFIERS]
        self._texts = pl.Series([repr(text) for text in texts])
        self._codes = pl.Series([repr(code) for code, _, _ in _ACTIVITIES])
        self._labels = pl.Series([repr(label) for _, label, _ in _ACTIVITIES])

    def blocks(self, day: date, rows: int) -> Iterator[bytes]:
        """The log of one day, in blocks of whole lines."""
        midnight = datetime.combine(day, time())
        for slices in time_slices(rows, _HOURS, _BLOCK_ROWS):
            yield self._lines(midnight, slices)

    def _lines(self, midnight: datetime, slices: Sequence[TimeSlice]) -> bytes:
        draws = self._draws
        milliseconds = times_of_day(draws, slices)
        rows = len(milliseconds)
        activity = self._activities.draw(draws, rows)
        doubt = draws.uniform(rows)
        frame = pl.DataFrame(
            {
                "milliseconds": milliseconds,
                "text": self._texts.gather(activity * len(_QUALIFIERS) + _QUALIFIER_WEIGHTS.draw(draws, rows)),
                "nature": pl.Series(_NATURES).gather(draws.below(rows, len(_NATURES))),
                "surface": draws.below(rows, 400),
                # Ten-thousandths, so that no floating-point number is ever printed. Most answers are nearly certain.
                "best": (9990 - doubt * doubt * doubt * 5900).cast(pl.Int64),
                # The runners-up are neighbours in the nomenclature; each gets half of the probability that is left.
                **{f"code{rank}": self._codes.gather((activity + rank) % len(_ACTIVITIES)) for rank in _RANKS},
                **{f"label{rank}": self._labels.gather((activity + rank) % len(_ACTIVITIES)) for rank in _RANKS},
            }
        )
        share = {rank: (10_000 - pl.col.best) // 2**rank if rank else pl.col.best for rank in _RANKS}
        answers: list[pl.Expr] = []
        for rank in _RANKS:
            answers += [
                pl.lit(f"'{rank + 1}': {{'code': "),
                pl.col(f"code{rank}"),
                pl.lit(", 'probabilite': "),
                _decimal(share[rank]),
                pl.lit(", 'libelle': "),
                pl.col(f"label{rank}"),
                pl.lit("}, "),
            ]
        lines = frame.select(
            pl.concat_str(
                (pl.lit(midnight) + pl.duration(milliseconds="milliseconds")).dt.strftime("%Y-%m-%d %H:%M:%S,%3f"),
                pl.lit(" - INFO - {'Query': {'text_description': "),
                pl.col.text,
                pl.lit(", 'nature': '"),
                pl.col.nature,
                pl.lit("', 'surface': '"),
                pl.col.surface,
                pl.lit("'}, 'Response': {"),
                *answers,
                pl.lit("'IC': "),
                _decimal(share[0] - share[1]),
                pl.lit("}}"),
            )
        )
        return lines.write_csv(include_header=False, quote_style="never").encode()


def _decimal(ten_thousandths: pl.Expr) -> pl.Expr:
    return pl.concat_str(pl.lit("0."), ten_thousandths.cast(pl.String).str.zfill(4))

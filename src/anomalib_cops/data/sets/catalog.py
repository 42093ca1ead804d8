"""Catalogue of published data sets: those of the papers and some more, each as one declaration.

Counts are those of the labelled (test) part; AnomalyCLIP and CoPS use MVTec AD, VisA and the medical data sets so.
"""

from dataclasses import replace

from anomalib.data import BTech, Kolektor, MVTecAD, Visa
from anomalib.data.datasets.image import btech, kolektor, mpdd, mvtecad, realiad, visa

from anomalib_cops.data.sets.anomalib_layout import AnomalibLayout
from anomalib_cops.data.sets.declaration import Declaration
from anomalib_cops.data.sets.pattern_layout import PatternLayout
from anomalib_cops.data.sets.table_layout import TableLayout

NC_SA = "CC BY-NC-SA 4.0"
UNSTATED = "not stated, used for research"
KAGGLE = "https://www.kaggle.com/datasets"
POLYPS = "https://figshare.com/articles/figure/Polyp_DataSet_zip/21221579"


MVTEC_LAYOUT = PatternLayout(
    normal="{category}/test/good/*",
    anomalous="{category}/test/{kind}/*",
    mask="{category}/ground_truth/{kind}/{stem}_mask",
)
SAME_NAME_LAYOUT = replace(MVTEC_LAYOUT, mask="{category}/ground_truth/{kind}/{stem}")
VISA_LAYOUT = PatternLayout(
    normal="{category}/test/good/*", anomalous="{category}/test/bad/*", mask="{category}/ground_truth/bad/{stem}"
)
KOLEKTOR_LAYOUT = PatternLayout(normal="{kind}/Part*.jpg", anomalous="{kind}/Part*.jpg", mask="{kind}/{stem}_label.bmp")
POLYP_LAYOUT = PatternLayout(anomalous="images/*", mask="masks/{stem}")

INDUSTRIAL = (
    Declaration(
        name="mvtec",
        title="MVTec AD",
        domain="industrial",
        folders=("MVTecAD", "mvtec", "mvtec_anomaly_detection"),
        layouts=(AnomalibLayout(mvtecad.MVTecADDataset, MVTEC_LAYOUT),),
        licence=NC_SA,
        home="https://www.mvtec.com/company/research/datasets/mvtec-ad",
        counts=(467, 1258),
        categories=mvtecad.CATEGORIES,
        download=MVTecAD,
    ),
    Declaration(
        name="visa",
        title="VisA",
        domain="industrial",
        folders=("visa", "visa_pytorch", "VisA_20220922"),
        layouts=(
            # The first is the one-class split that anomalib writes beside the content of the archive.
            AnomalibLayout(visa.VisaDataset, VISA_LAYOUT, inside="visa_pytorch"),
            AnomalibLayout(visa.VisaDataset, VISA_LAYOUT),
            TableLayout(
                "split_csv/1cls.csv",
                image="{image}",
                label=("label", "anomaly"),
                mask="{mask}",
                where=(("object", "{category}"), ("split", "test")),
            ),
        ),
        licence="CC BY 4.0",
        home="https://github.com/amazon-science/spot-diff",
        counts=(962, 1200),
        categories=visa.CATEGORIES,
        download=Visa,
    ),
    Declaration(
        name="btad",
        title="BTAD",
        domain="industrial",
        folders=("BTech", "BTAD", "BTech_Dataset_transformed"),
        # anomalib's reader needs all masks as PNG. Its download converts them, but the archive has BMP as well.
        layouts=(replace(SAME_NAME_LAYOUT, normal="{category}/test/ok/*"),),
        licence=NC_SA,
        home="https://avires.dimi.uniud.it/papers/btad/btad.zip",
        counts=(451, 290),
        categories=btech.CATEGORIES,
        download=BTech,
    ),
    Declaration(
        name="mpdd",
        title="MPDD",
        domain="industrial",
        folders=("MPDD",),
        layouts=(AnomalibLayout(mpdd.MPDDDataset, MVTEC_LAYOUT),),
        licence=NC_SA,
        home="https://github.com/stepanje/MPDD",
        counts=(176, 282),
        categories=mpdd.CATEGORIES,
    ),
    Declaration(
        name="dtd_synthetic",
        title="DTD-Synthetic",
        domain="industrial",
        folders=("DTD-Synthetic", "DTD"),
        layouts=(SAME_NAME_LAYOUT,),
        licence=UNSTATED,
        home="https://drive.google.com/drive/folders/10OyPzvI3H6llCZBxKxFlKWt1Pw1tkMK1",
        counts=(357, 947),
        categories=(
            *("Blotchy_099", "Fibrous_183", "Marbled_078", "Matted_069", "Mesh_114", "Perforated_037"),
            *("Stratified_154", "Woven_001", "Woven_068", "Woven_104", "Woven_125", "Woven_127"),
        ),
    ),
)

MEDICAL = (
    Declaration(
        name="headct",
        title="HeadCT",
        domain="medical",
        folders=("HeadCT", "HeadCT_anomaly_detection"),
        layouts=(
            PatternLayout(normal="brain/test/good/*", anomalous="brain/test/{kind}/*"),
            TableLayout("labels.csv", image="head_ct/head_ct/{id:0>3}.png", label=("hemorrhage", "1")),
            TableLayout("labels.csv", image="head_ct/{id:0>3}.png", label=("hemorrhage", "1")),
        ),
        licence=UNSTATED,
        home=f"{KAGGLE}/felipekitamura/head-ct-hemorrhage",
        counts=(100, 100),
        class_name="brain",
        has_masks=False,
    ),
    Declaration(
        name="brainmri",
        title="BrainMRI",
        domain="medical",
        folders=("BrainMRI",),
        layouts=(
            PatternLayout(normal="brain_tumor_dataset/no/*", anomalous="brain_tumor_dataset/yes/*"),
            PatternLayout(normal="no/*", anomalous="yes/*"),
        ),
        licence=UNSTATED,
        home=f"{KAGGLE}/navoneel/brain-mri-images-for-brain-tumor-detection",
        counts=(98, 155),
        class_name="brain",
        has_masks=False,
    ),
    Declaration(
        name="br35h",
        title="Br35H",
        domain="medical",
        folders=("Br35H", "Br35", "Br35h_anomaly_detection"),
        layouts=(PatternLayout(normal="no/*", anomalous="yes/*"),),
        licence=UNSTATED,
        home=f"{KAGGLE}/ahmedhamada0/brain-tumor-detection",
        counts=(1500, 1500),
        class_name="brain",
        has_masks=False,
    ),
    Declaration(
        name="isic",
        title="ISIC 2016 (part 1, test)",
        domain="medical",
        folders=("ISIC", "ISBI", "ISIC2016"),
        layouts=(
            PatternLayout(
                anomalous="ISBI2016_ISIC_Part1_Test_Data/*",
                mask="ISBI2016_ISIC_Part1_Test_GroundTruth/{stem}_Segmentation",
            ),
            PatternLayout(
                anomalous="skin/test/{kind}/*", mask="skin/ISBI2016_ISIC_Part1_Test_GroundTruth/{stem}_Segmentation"
            ),
        ),
        licence="CC0",
        home="https://challenge.isic-archive.com/data/#2016",
        counts=(0, 379),
        class_name="skin",
        has_normal=False,
    ),
    Declaration(
        name="cvc_colondb",
        title="CVC-ColonDB",
        domain="medical",
        folders=("CVC-ColonDB", "ColonDB"),
        layouts=(POLYP_LAYOUT,),
        licence=UNSTATED,
        home=POLYPS,
        counts=(0, 380),
        class_name="colon",
        has_normal=False,
    ),
    Declaration(
        name="cvc_clinicdb",
        title="CVC-ClinicDB",
        domain="medical",
        folders=("CVC-ClinicDB", "ClinicDB"),
        layouts=(
            POLYP_LAYOUT,
            PatternLayout(anomalous="Original/*", mask="Ground Truth/{stem}"),
            PatternLayout(anomalous="PNG/Original/*", mask="PNG/Ground Truth/{stem}"),
        ),
        licence=UNSTATED,
        home=POLYPS,
        counts=(0, 612),
        class_name="colon",
        has_normal=False,
    ),
    Declaration(
        name="kvasir",
        title="Kvasir-SEG",
        domain="medical",
        folders=("Kvasir", "Kvasir-SEG"),
        layouts=(POLYP_LAYOUT,),
        licence="research and education",
        home="https://datasets.simula.no/kvasir-seg",
        counts=(0, 1000),
        class_name="colon",
        has_normal=False,
    ),
    Declaration(
        name="endo",
        title="EndoTect 2020",
        domain="medical",
        folders=("Endo", "EndoTect", "EndoTect_2020_Segmentation_Test_Dataset"),
        layouts=(POLYP_LAYOUT,),
        licence="research and education",
        home="https://endotect.com",
        counts=(0, 200),
        class_name="colon",
        has_normal=False,
    ),
)

FURTHER = (
    Declaration(
        name="sdd",
        title="KolektorSDD",
        domain="industrial",
        folders=("kolektor", "KolektorSDD", "SDD", "SDD_anomaly_detection"),
        # Only the mask tells whether a part is anomalous, so anomalib opens all masks.
        layouts=(AnomalibLayout(kolektor.KolektorDataset, KOLEKTOR_LAYOUT),),
        licence=NC_SA,
        home="https://www.vicos.si/resources/kolektorsdd",
        # Counts of anomalib's split; AnomalyCLIP and AdaCLIP cut each image into three.
        counts=(70, 52),
        class_name="electrical commutators",
        download=Kolektor,
    ),
    Declaration(
        name="dagm",
        title="DAGM 2007",
        domain="industrial",
        folders=("DAGM_KaggleUpload", "DAGM", "DAGM2007", "DAGM_anomaly_detection"),
        layouts=(
            PatternLayout(
                normal="{category}/Test/*.png",
                anomalous="{category}/Test/*.png",
                mask="{category}/Test/Label/{stem}_label",
            ),
        ),
        licence=UNSTATED,
        home=f"{KAGGLE}/mhskjelvareid/dagm-2007-competition-dataset-optical-inspection",
        counts=(6996, 1054),
        categories=tuple(f"Class{number}" for number in range(1, 11)),
    ),
    Declaration(
        name="magnetic_tile",
        title="Magnetic Tile",
        domain="industrial",
        folders=("Magnetic-Tile", "Magnetic-Tile-Defect", "Magnetic-tile-defect-datasets."),
        layouts=(
            PatternLayout(
                normal="MT_Free/Imgs/*.jpg", anomalous="MT_{kind}/Imgs/*.jpg", mask="MT_{kind}/Imgs/{stem}.png"
            ),
        ),
        licence=UNSTATED,
        home="https://github.com/abin24/Magnetic-tile-defect-datasets.",
        counts=(952, 392),
        class_name="tile",
        # Its masks have grey edges.
        mask_above=127,
    ),
    Declaration(
        name="realiad",
        title="Real-IAD (256 pixels)",
        domain="industrial",
        folders=("Real-IAD", "realiad"),
        layouts=(
            AnomalibLayout(
                realiad.RealIADDataset,
                PatternLayout(
                    normal="realiad_256/{category}/OK/*/*.jpg",
                    anomalous="realiad_256/{category}/NG/{kind}/*/*.jpg",
                    mask="realiad_256/{category}/NG/{kind}/*/{stem}.png",
                ),
            ),
        ),
        licence=f"{NC_SA}, on request",
        home="https://realiad4ad.github.io/Real-IAD",
        counts=None,
        categories=realiad.CATEGORIES,
    ),
)

CATALOG = {each.name: each for each in (*INDUSTRIAL, *MEDICAL, *FURTHER)}

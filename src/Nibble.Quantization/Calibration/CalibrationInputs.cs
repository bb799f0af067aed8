namespace Nibble.Quantization.Calibration;

/// <summary>What the layers read that a calibrated method looks at.</summary>
public enum CalibrationInputs
{
    /// <summary>What the quantized layers before each produce.</summary>
    Quantized,

    /// <summary>In one pass, what they read in the original model.</summary>
    Original,

    /// <summary>The same, measured before: no text is read.</summary>
    Saved,
}

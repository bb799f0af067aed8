using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Nibble.Core;
using Nibble.Files;

namespace Nibble.Quantization.Calibration;

public sealed partial class ImportanceMatrix
{
    /// <summary>
    /// Reads the layout before GGUF (imatrix.dat), all numbers of 32 bits: how many entries; of each the length of its name,
    /// the name, the chunks, how many sums, and the sums (means times chunks); then perhaps all chunks and the text's name.
    /// </summary>
    private unsafe ref struct LegacyReader(MappedFile file)
    {
        private const int LongestName = 1024;
        private readonly ReadOnlySpan<byte> _bytes = file.Length <= int.MaxValue ? new(file.Pointer, (int)file.Length) : throw Wrong(file, 0);
        private int _at;

        public ImportanceMatrix Read()
        {
            var tensors = new Dictionary<string, ColumnImportance>();
            for (int entries = Int32(1, int.MaxValue); entries > 0; entries--)
            {
                string name = Encoding.UTF8.GetString(Take(Int32(1, LongestName)));
                int chunks = Int32(0, int.MaxValue), count = Int32(1, int.MaxValue);
                float[] sums = MemoryMarshal.Cast<byte, float>(Take((long)count * sizeof(float))).ToArray();
                // Sums without chunks are means already.
                if (!tensors.TryAdd(name, new ColumnImportance(sums, [Math.Max(chunks, 1)]))) throw Wrong(file, _at);
            }
            if (_at == _bytes.Length) return new ImportanceMatrix(file.Path, tensors);
            int all = Int32(0, int.MaxValue);
            string[] datasets = _at == _bytes.Length ? [] : [Encoding.UTF8.GetString(Take(Int32(0, int.MaxValue)))];
            return new ImportanceMatrix(file.Path, tensors) { Chunks = (uint)all, Datasets = datasets };
        }

        private int Int32(int least, int most)
        {
            int value = BinaryPrimitives.ReadInt32LittleEndian(Take(sizeof(int)));
            return value >= least && value <= most ? value : throw Wrong(file, _at - sizeof(int));
        }

        private ReadOnlySpan<byte> Take(long bytes)
        {
            if (bytes > _bytes.Length - _at) throw Wrong(file, _at);
            ReadOnlySpan<byte> taken = _bytes.Slice(_at, (int)bytes);
            _at += (int)bytes;
            return taken;
        }

        private static UnusableInputException Wrong(MappedFile file, int at) =>
            new($"{file.Path}: is no importance matrix, neither GGUF nor the older imatrix.dat (see byte {at}); 'nibble importance' makes one");
    }
}
